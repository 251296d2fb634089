//! Numbered output of a guest whose daemon is killed again and again: what is promised is that nothing is missing, and that what is
//! repeated is no more than a ring.

/// One line.
pub fn line(number: usize) -> String {
    format!("{number:07} of the guest's lines\n")
}

/// Bytes of one line.
pub fn line_len() -> usize {
    line(0).len()
}

/// A ring (xen/include/public/io/console.h).
const RING: usize = 2048;

/// What was seen of lines that a guest has written one after the other.
#[derive(Debug, Default)]
pub struct Seen {
    /// Lines that were seen for the first time.
    pub lines: usize,
    /// How often something came again, and how many bytes.
    pub repeats: usize,
    pub repeated: usize,
}

/// Reads a stream of such lines in which parts may come again: byte for byte, from where it was at most a ring before.
///
/// # Panics
/// If something is missing, garbled, or repeated by more than a ring.
pub fn read(text: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let whole: Vec<u8> = (0..text.len() / line_len() + 1).flat_map(|number| line(number).into_bytes()).collect();
    // Where in what the guest wrote the stream is.
    let (mut at, mut end) = (0, 0);
    for (offset, byte) in text.iter().enumerate() {
        if whole.get(at) != Some(byte) {
            // It goes on from where it was a while ago: where what follows fits.
            let ahead = &text[offset..text.len().min(offset + 64)];
            let from = (end.max(RING) - RING..end).rev().find(|from| whole[*from..].starts_with(ahead));
            let from = from.unwrap_or_else(|| {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                panic!(
                    "at {offset}: {:?} behind {:?}, not {:?}",
                    shown(ahead),
                    shown(&text[offset.max(64) - 64..offset]),
                    shown(&whole[at..at + 64])
                );
            });
            seen.repeats += 1;
            seen.repeated += end - from;
            at = from;
        }
        at += 1;
        end = end.max(at);
    }
    seen.lines = end / line_len();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(range: std::ops::Range<usize>) -> String {
        range.map(line).collect()
    }

    #[test]
    fn repeats_are_found_and_counted() {
        let seen = read(format!("{}{}", lines(0..100), lines(90..200)).as_bytes());
        assert_eq!((seen.lines, seen.repeats, seen.repeated), (200, 1, 10 * line_len()));
        let mut torn = lines(0..50).into_bytes();
        torn.truncate(40 * line_len() + 7);
        let again = lines(0..60).into_bytes();
        torn.extend_from_slice(&again[39 * line_len() + 3..]);
        assert_eq!(read(&torn).lines, 60);
    }

    #[test]
    #[should_panic(expected = "at ")]
    fn what_is_missing_is_found() {
        read(format!("{}{}", lines(0..100), lines(101..200)).as_bytes());
    }

    #[test]
    #[should_panic(expected = "at ")]
    fn more_than_a_ring_again_is_too_much() {
        read(format!("{}{}", lines(0..200), lines(100..300)).as_bytes());
    }
}
