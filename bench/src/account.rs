//! Whether what is in the files is what was written.

use std::fmt;

use crate::lines;

/// How much of what was written has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    All,
    /// The end of it, at least so many bytes: what came before may have been rotated away.
    End(u64),
}

/// What is wrong with a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There are more bytes than were written.
    More {
        /// So many.
        by: u64,
    },
    /// There are fewer bytes than have to be there.
    Fewer {
        /// So many.
        by: u64,
    },
    /// A byte is not the one that was written there.
    Other {
        /// Where in what was written.
        offset: u64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Wrong::More { by } => write!(f, "{by} bytes more than were written"),
            Wrong::Fewer { by } => write!(f, "{by} bytes are missing"),
            Wrong::Other { offset } => write!(f, "byte {offset} is not what was written there"),
        }
    }
}

/// Holds the bytes of the `log`th log, oldest first, against what was written to it: its first `written` bytes.
pub fn check(log: usize, written: u64, wanted: Wanted, found: &[u8]) -> Result<(), Wrong> {
    let has = found.len() as u64;
    let Some(start) = written.checked_sub(has) else { return Err(Wrong::More { by: has - written }) };
    // A byte that is wrong says where something was lost; a mere sum does not.
    compare(log, start, found)?;
    let least = match wanted {
        Wanted::All => written,
        Wanted::End(least) => least.min(written),
    };
    if has < least { Err(Wrong::Fewer { by: least - has }) } else { Ok(()) }
}

fn compare(log: usize, start: u64, found: &[u8]) -> Result<(), Wrong> {
    let mut right = vec![0; 64 << 10];
    for (at, piece) in (start..).step_by(right.len()).zip(found.chunks(right.len())) {
        let right = &mut right[..piece.len()];
        lines::fill(log, at, right);
        if piece != right {
            let same = piece.iter().zip(right.iter()).take_while(|(found, right)| found == right).count();
            return Err(Wrong::Other { offset: at + same as u64 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bytes: usize) -> Vec<u8> {
        let mut stream = vec![0; bytes];
        lines::fill(3, 0, &mut stream);
        stream
    }

    #[test]
    fn all_is_all() {
        let stream = stream(200_000);
        assert_eq!(check(3, 200_000, Wanted::All, &stream), Ok(()));
        assert_eq!(check(3, 200_000, Wanted::All, &stream[100..]), Err(Wrong::Fewer { by: 100 }));
        assert_eq!(check(3, 199_900, Wanted::All, &stream), Err(Wrong::More { by: 100 }));
        assert!(check(4, 200_000, Wanted::All, &stream).is_err(), "another log's bytes");
    }

    #[test]
    fn an_end_reaches_to_the_last_byte() {
        let stream = stream(200_000);
        assert_eq!(check(3, 200_000, Wanted::End(50_000), &stream[150_000..]), Ok(()));
        assert_eq!(check(3, 200_000, Wanted::End(50_000), &stream[150_001..]), Err(Wrong::Fewer { by: 1 }));
        assert!(check(3, 200_000, Wanted::End(50_000), &stream[..199_999]).is_err());
        assert_eq!(check(3, 100, Wanted::End(50_000), &stream[..100]), Ok(()), "no more than was written");
    }

    #[test]
    fn a_hole_a_repetition_and_a_wrong_byte_are_seen() {
        let stream = stream(200_000);
        for (from, to) in [(100_000, 100_100), (0, 1), (199_999, 200_000)] {
            let without = [&stream[..from], &stream[to..]].concat();
            assert!(check(3, 200_000, Wanted::All, &without).is_err(), "{from}");
        }
        let twice = [&stream[..100], &stream[..]].concat();
        assert!(check(3, 200_000, Wanted::All, &twice).is_err());
        let mut changed = stream;
        changed[70_007] ^= 1;
        assert_eq!(check(3, 200_000, Wanted::All, &changed), Err(Wrong::Other { offset: 70_007 }));
    }
}
