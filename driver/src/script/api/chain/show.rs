//! Descriptors for people.

use std::fmt::Write;

use ioat_spec::{Descriptor, Opcode};

use super::field::{FIELDS, OPERATIONS};

/// One line for people: the operation, what it works on, the control bits that are set, and what comes next.
pub(super) fn line(descriptor: &Descriptor) -> String {
    let control = descriptor.control();
    let known = Opcode::from_code(control.opcode());
    let word = known.and_then(|code| OPERATIONS.iter().find(|(opcode, _)| *opcode == code));
    let (size, source, destination) = (descriptor.size, descriptor.source, descriptor.destination);
    let mut text = match (known, word) {
        (Some(Opcode::Copy), _) if control.null() => "NULL".to_owned(),
        (Some(Opcode::Fill), _) => format!("FILL {size} bytes at {destination:#x} with {source:#018x}"),
        (_, Some((_, word))) => format!("{word} {size} bytes from {source:#x} to {destination:#x}"),
        _ => format!("OPCODE {:#04x}, {size} bytes from {source:#x} to {destination:#x}", control.opcode()),
    };
    let set = FIELDS.iter().filter(|field| field.is_control_bit() && field.get(descriptor) == 1);
    let set: Vec<_> = set.map(|field| field.name).filter(|name| *name != "NULL").collect();
    if !set.is_empty() {
        text += &format!(", {}", set.join(" "));
    }
    for (bit, name, page) in [
        (control.src_page_break(), "source", descriptor.next_source),
        (control.dst_page_break(), "destination", descriptor.next_destination),
    ] {
        if bit {
            text += &format!(", {name} goes on at {page:#x}");
        }
    }
    if descriptor.next == 0 { text + ", the last" } else { format!("{text}, next {:#x}", descriptor.next) }
}

/// Bytes at an address, sixteen to a line.
pub(super) fn hexdump(address: u64, bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, row) in (0..).zip(bytes.chunks(16)) {
        let separator = if line == 0 { "" } else { "\n" };
        // Writing to a text does not fail.
        let _ = write!(text, "{separator}{:012x} ", address + line * 16);
        row.iter().for_each(|byte| _ = write!(text, " {byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use ioat_spec::Control;

    use super::*;

    #[test]
    fn a_line_says_what_will_be_done_and_what_comes_next() {
        let control = Control::new().with_int_en(true).with_cmpl_wr(true);
        let copy = Descriptor {
            size: 4096,
            control: control.into_bits(),
            source: 0x1000,
            destination: 0x2000,
            next: 0x3040,
            ..Descriptor::default()
        };
        assert_eq!(line(&copy), "COPY 4096 bytes from 0x1000 to 0x2000, INT_EN CMPL_WR, next 0x3040");
        let null = Descriptor { control: control.with_null(true).into_bits(), next: 0, ..copy };
        assert_eq!(line(&null), "NULL, INT_EN CMPL_WR, the last");
        let fill =
            Descriptor { control: Control::new().with_opcode(1).into_bits(), source: 0xab, next: 0, ..copy };
        assert_eq!(line(&fill), "FILL 4096 bytes at 0x2000 with 0x00000000000000ab, the last");
        let odd = Descriptor { control: Control::new().with_opcode(0x42).into_bits(), next: 0, ..copy };
        assert_eq!(line(&odd), "OPCODE 0x42, 4096 bytes from 0x1000 to 0x2000, the last");
        let control = Control::new().with_src_page_break(true).into_bits();
        let broken = Descriptor { control, next_source: 0x7000, next: 0, ..copy };
        assert!(line(&broken).ends_with("SRC_PAGE_BREAK, source goes on at 0x7000, the last"));
    }

    #[test]
    fn sixteen_bytes_to_a_line() {
        let text = hexdump(0x1000, &[0xab; 17]);
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [13 + 48, 13 + 3]);
        assert!(text.ends_with("\n000000001010  ab"));
    }
}
