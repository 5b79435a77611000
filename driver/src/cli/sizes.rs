//! Sizes, as people write and read them.

/// Bytes from a text such as `4096`, `64K`, `1M`, `2G` (powers of 1024; `KiB` and the like are taken too).
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        suffix => return Err(format!("'{text}': unknown suffix {suffix}: write bytes, or use K, M or G")),
    };
    let number: u64 =
        digits.parse().map_err(|_| format!("'{text}' is not a size: write it as in 4096, 64K, 1M or 2G"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("'{text}': that is more than 2^64 bytes"))
}

/// The largest unit in which the size is at least 1: `1.5 MiB`.
pub(crate) fn show(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) if bytes % (1 << shift) == 0 => format!("{} {unit}", bytes >> shift),
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        assert_eq!(parse("89"), Ok(89));
        assert_eq!(parse("64K"), Ok(64 << 10));
        assert_eq!(parse("1m"), Ok(1 << 20));
        assert_eq!(parse("2GiB"), Ok(2 << 30));
    }

    #[test]
    fn what_is_no_size_is_named_with_the_mend() {
        assert_eq!(parse("1T").unwrap_err(), "'1T': unknown suffix T: write bytes, or use K, M or G");
        assert!(parse("K").unwrap_err().contains("write it as in 4096, 64K"));
        assert!(parse("-1").unwrap_err().contains("is not a size"));
        assert!(parse("20000000000G").unwrap_err().contains("more than 2^64"));
    }

    #[test]
    fn sizes_read_in_their_largest_unit() {
        assert_eq!([show(89), show(1 << 20), show(1536)], ["89 B", "1 MiB", "1.5 KiB"]);
    }
}
