//! How many bytes of a console's output wait for a reader: its `limit` node.

use std::ops::RangeInclusive;

use super::scan::{Base, Scanned, scan};

/// Without a `limit`, or with 0, which the stock daemon takes for "without end": until memory is full. As much as libxl writes
/// there (`LIBXL_XENCONSOLE_LIMIT`).
pub const DEFAULT: u64 = 1 << 20;

/// What a limit can be: two rings of a guest at least, so that what a guest writes at once always has room; and 32 000 guests that
/// write without end shall not cost more memory than their administrator has.
pub const RANGE: RangeInclusive<u64> = 4096..=16 << 20;

/// A limit, as it is kept to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// That many bytes.
    pub bytes: u64,
    /// Whether the node asks for another number, which cannot be: worth a line.
    pub is_out_of_range: bool,
}

impl Limit {
    /// What the node says, if it is there, read as strtoul(3) does it with base 0. What is no number is 0.
    pub fn of_node(value: Option<&[u8]>) -> Limit {
        let asked = match value.and_then(|value| scan(value, Base::Prefixed)) {
            // C turns it round: "-1" is the largest there is.
            Some(Scanned { is_negative: true, magnitude }) if magnitude < u64::MAX => magnitude.wrapping_neg(),
            Some(Scanned { magnitude, .. }) => magnitude,
            None => 0,
        };
        if asked == 0 {
            return Limit { bytes: DEFAULT, is_out_of_range: false };
        }
        let bytes = asked.clamp(*RANGE.start(), *RANGE.end());
        Limit { bytes, is_out_of_range: bytes != asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_strtoul_reads_it_and_kept_in_bounds() {
        const MOST: u64 = 16 << 20;
        for (value, bytes, is_out_of_range) in [
            (&b"1048576"[..], 1 << 20, false),
            (b"65536", 65536, false),
            (b"0x10000", 65536, false),
            (b"0200000", 65536, false),
            (b" 65536", 65536, false),
            (b"65536\0", 65536, false),
            (b"65536 bytes", 65536, false),
            (b"0", DEFAULT, false),
            (b"", DEFAULT, false),
            (b"junk", DEFAULT, false),
            (b"-", DEFAULT, false),
            (b"-0", DEFAULT, false),
            (b"4096", 4096, false),
            (b"4095", 4096, true),
            (b"1", 4096, true),
            (b"0x10", 4096, true),
            (b"16777216", MOST, false),
            (b"16777217", MOST, true),
            (b"-1", MOST, true),
            (b"-18446744073709486080", 65536, false),
            (b"99999999999999999999", MOST, true),
            (b"-99999999999999999999", MOST, true),
        ] {
            assert_eq!(Limit::of_node(Some(value)), Limit { bytes, is_out_of_range }, "{}", value.escape_ascii());
        }
        assert_eq!(Limit::of_node(None), Limit { bytes: DEFAULT, is_out_of_range: false });
    }
}
