//! Numbers as the protocol spells them, and as people do.

/// A plain decimal number: digits and nothing else. No sign, blank, hex, suffix, newline or NUL; `None` for these and for
/// what does not fit.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number of bytes as people write it in options and configuration: decimal, with an optional `K`, `M` or `G` (powers of
/// 1024; `KiB`, `MiB`, `GiB` and small letters mean the same). The store takes plain decimal only: see [`decimal`].
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return None,
    };
    decimal(digits.as_bytes())?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimal_counts() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"010"), Some(10));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"+5",
            b"-1",
            b" 10",
            b"10 ",
            b"10\n",
            b"10\0",
            b"0x10",
            b"1e6",
            b"10k",
            b"1_000",
            b"18446744073709551616",
            "١".as_bytes(),
            b"\xff",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn people_may_say_how_large_with_a_letter() {
        for (text, bytes) in [("4096", 4096), ("64k", 65536), ("10M", 10 << 20), ("10MiB", 10 << 20), ("2gib", 2 << 30)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "k", "10KB", "10 M", "-1M", "1.5M", "99999999999G", "10é"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
