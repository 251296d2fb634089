//! Numbers in a console's nodes, taken as C takes them: what toolstacks write there has always been read with strtoul(3) and
//! sscanf(3) (tools/console/daemon/io.c).
//!
//! White space and a sign may come first, anything may come behind. What does not fit into C's type is no number here: C leaves
//! open what happens then.

/// A number as C reads it, before it is put into a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Whether a minus stood before it.
    pub is_negative: bool,
    /// Without the sign; `u64::MAX` for all that is larger.
    pub magnitude: u64,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Decimal, whatever it begins with.
    Ten,
    /// `0x` before hexadecimal, `0` before octal, else decimal: base 0 of strtoul(3), and `%i`.
    Prefixed,
}

/// The number at the start of `value`, if there is one.
pub fn scan(value: &[u8], base: Base) -> Option<Scanned> {
    // isspace(3) in the C locale: what is called ASCII white space elsewhere, and the vertical tab.
    let blanks = value.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let value = &value[blanks..];
    let (is_negative, value) = match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, value),
    };
    let (radix, value) = match (base, value) {
        (Base::Prefixed, [b'0', b'x' | b'X', rest @ ..]) if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, rest)
        }
        (Base::Prefixed, [b'0', ..]) => (8, value),
        _ => (10, value),
    };
    let digits: Vec<u32> = value.iter().map_while(|byte| char::from(*byte).to_digit(radix)).collect();
    if digits.is_empty() {
        return None;
    }
    let more = |sum: u64, digit: &u32| sum.saturating_mul(u64::from(radix)).saturating_add(u64::from(*digit));
    Some(Scanned { is_negative, magnitude: digits.iter().fold(0, more) })
}

/// The `port` node: the guest's end of the event channel (`%i`).
pub fn port(value: &[u8]) -> Option<u32> {
    let number = scan(value, Base::Prefixed)?;
    u32::try_from(number.magnitude).ok().filter(|port| !number.is_negative || *port == 0)
}

/// The `ring-ref` node: the number of the page that the ring is in (`%u`). Larger ones than C's type takes are taken whole.
pub fn ring_ref(value: &[u8]) -> Option<u64> {
    let number = scan(value, Base::Ten)?;
    let is_there = number.magnitude == 0 || !number.is_negative && number.magnitude != u64::MAX;
    is_there.then_some(number.magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_as_sscanf_reads_i() {
        for (value, port_there) in [
            (&b"0"[..], Some(0)),
            (b"5", Some(5)),
            (b"0x10", Some(16)),
            (b"0X1f", Some(31)),
            (b"010", Some(8)),
            (b"08", Some(0)),
            (b"0x", Some(0)),
            (b"0xg", Some(0)),
            (b" \t\n\x0b\x0c\r7", Some(7)),
            (b"+7", Some(7)),
            (b"7 8", Some(7)),
            (b"7\0", Some(7)),
            (b"7junk", Some(7)),
            (b"4294967295", Some(u32::MAX)),
            (b"4294967296", None),
            (b"-0", Some(0)),
            (b"-1", None),
            (b"", None),
            (b" ", None),
            (b"-", None),
            (b"- 1", None),
            (b"junk", None),
            (b"\xff", None),
            ("١".as_bytes(), None),
        ] {
            assert_eq!(port(value), port_there, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_ring_ref_is_decimal() {
        for (value, there) in [
            (&b"1044476"[..], Some(1_044_476)),
            (b" 010", Some(10)),
            (b"0x10", Some(0)),
            (b"4294967296", Some(1 << 32)),
            (b"99999999999999999999", None),
            (b"-1", None),
            (b"", None),
            (b"x", None),
        ] {
            assert_eq!(ring_ref(value), there, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn what_is_too_large_stays_large() {
        let large = |is_negative| Some(Scanned { is_negative, magnitude: u64::MAX });
        for (value, is_negative) in [("99999999999999999999", false), ("-0xffffffffffffffffff", true)] {
            assert_eq!(scan(value.as_bytes(), Base::Prefixed), large(is_negative), "{value}");
        }
        assert_eq!(scan("9".repeat(100_000).as_bytes(), Base::Ten), large(false));
    }
}
