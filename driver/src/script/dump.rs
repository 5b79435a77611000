//! Bytes for people.

use std::fmt::Write as _;

const LINE: usize = 16;

/// 16 bytes on a line, in hexadecimal and as characters, with their offset from `first`. Lines like the one above
/// are one `*`.
pub(super) fn dump(first: usize, data: &[u8]) -> String {
    let mut text = String::new();
    let (mut above, mut starred): (Option<&[u8]>, bool) = (None, false);
    for (index, line) in data.chunks(LINE).enumerate() {
        let same = above == Some(line);
        if same && !starred {
            text.push_str("*\n");
        }
        starred = same;
        if !same {
            one(&mut text, first + index * LINE, line);
        }
        above = Some(line);
    }
    if starred {
        // Else it could not be seen how long it is.
        let _ = writeln!(text, "{:08x}", first + data.len());
    }
    text.truncate(text.trim_end().len());
    text
}

fn one(text: &mut String, offset: usize, line: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{offset:08x} ");
    for at in 0..LINE {
        if at % 8 == 0 {
            text.push(' ');
        }
        let _ = match line.get(at) {
            Some(byte) => write!(text, "{byte:02x} "),
            None => write!(text, "   "),
        };
    }
    let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
    let characters: String = line.iter().map(shown).collect();
    let _ = writeln!(text, " |{characters}|");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_that_of_hexdump_c() {
        let mut data = b"The quick brown fox".to_vec();
        data.extend([0; 45]);
        // The words of `hexdump -C`, without the last line, which says only the length.
        let expected = "\
00000000  54 68 65 20 71 75 69 63  6b 20 62 72 6f 77 6e 20  |The quick brown |
00000010  66 6f 78 00 00 00 00 00  00 00 00 00 00 00 00 00  |fox.............|
00000020  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
00000040";
        assert_eq!(dump(0, &data), expected);
        assert_eq!(dump(0x100, &[]), "");
    }
}
