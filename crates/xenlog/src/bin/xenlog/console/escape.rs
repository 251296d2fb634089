//! The character that ends a look at a console.

/// `^]`, as of telnet(1), the stock client and virsh.
pub const DEFAULT: u8 = 0x1d;

/// Reads what the stock client reads: `^` and a character for a control character, or the character itself.
pub fn parse(text: &str) -> Result<u8, &'static str> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        [b'^', byte] => Ok(byte & 0x1f),
        _ => Err("one character, or ^ and one, such as ^]"),
    }
}

/// As a person writes it.
pub fn shown(escape: u8) -> String {
    match escape {
        0..0x20 => format!("^{}", char::from(escape | 0x40)),
        byte => char::from(byte).escape_default().to_string(),
    }
}

/// What stands before the escape character, and whether it is there.
pub fn cut(typed: &[u8], escape: Option<u8>) -> (&[u8], bool) {
    let at = escape.and_then(|escape| typed.iter().position(|&byte| byte == escape));
    (&typed[..at.unwrap_or(typed.len())], at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_for_the_stock_client() {
        for (text, byte) in [("^]", 0x1d), ("^a", 1), ("^A", 1), ("x", b'x'), ("^", b'^'), ("^^", 0x1e), ("^@", 0)] {
            assert_eq!(parse(text), Ok(byte), "{text}");
        }
        for text in ["", "ab", "^ab", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!([shown(DEFAULT), shown(b'x'), shown(0)], ["^]", "x", "^@"]);
    }

    #[test]
    fn what_was_typed_before_counts() {
        assert_eq!(cut(b"ab\x1dcd", Some(0x1d)), (&b"ab"[..], true));
        assert_eq!(cut(b"ab\x1d", None), (&b"ab\x1d"[..], false));
        assert_eq!(cut(b"\x1d", Some(0x1d)), (&b""[..], true));
    }
}
