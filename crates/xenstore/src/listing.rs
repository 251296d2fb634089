//! A directory that does not fit into one message, read part by part.
//!
//! DIRECTORY_PART (docs/misc/xenstore.txt): asked with a path and an offset into the list of children, answered with
//! the node's generation count and the next part. A different count means that the list has changed meanwhile: start
//! over. An empty name is the end.

use crate::reply::names;

/// Most bytes of names that are collected: a store that never ends is an error, not a reason to run out of memory.
const BYTES_MAX: usize = 64 << 20;
/// How often one listing starts over because the directory changes while it is read.
const RESTARTS_MAX: u32 = 1000;

/// The parts that are there.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    generation: Vec<u8>,
    bytes: Vec<u8>,
    restarts: u32,
}

/// What comes after a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Ask for the part at this offset.
    Next { offset: usize },
    /// All children.
    Whole(Vec<String>),
    /// The directory changed again and again.
    Restless,
    /// Not what the protocol says.
    Malformed,
}

impl Listing {
    /// Takes the payload of one reply.
    pub(crate) fn add(&mut self, payload: &[u8]) -> Progress {
        let Some(end) = payload.iter().position(|&byte| byte == 0) else {
            return Progress::Malformed;
        };
        let (generation, part) = (&payload[..end], &payload[end + 1..]);
        if generation != self.generation {
            // The first part of all comes here as well: it is whole if nothing was collected before it.
            let is_first = self.bytes.is_empty();
            self.generation = generation.to_vec();
            if !is_first {
                self.bytes.clear();
                self.restarts += 1;
                return if self.restarts > RESTARTS_MAX { Progress::Restless } else { Progress::Next { offset: 0 } };
            }
        }
        self.bytes.extend_from_slice(part);
        if part == [0] || part.ends_with(&[0, 0]) {
            return names(&self.bytes).map_or(Progress::Malformed, Progress::Whole);
        }
        if !part.ends_with(&[0]) || self.bytes.len() > BYTES_MAX {
            return Progress::Malformed;
        }
        Progress::Next { offset: self.bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_until_the_empty_name() {
        let mut listing = Listing::default();
        assert_eq!(listing.add(b"7\0a\0b\0"), Progress::Next { offset: 4 });
        assert_eq!(listing.add(b"7\0c\0\0"), Progress::Whole(vec!["a".into(), "b".into(), "c".into()]));
    }

    #[test]
    fn end_may_come_alone() {
        let mut listing = Listing::default();
        assert_eq!(listing.add(b"7\0a\0"), Progress::Next { offset: 2 });
        assert_eq!(listing.add(b"7\0\0"), Progress::Whole(vec!["a".into()]));
        assert_eq!(Listing::default().add(b"7\0\0"), Progress::Whole(vec![]));
    }

    #[test]
    fn a_change_in_between_starts_over() {
        let mut listing = Listing::default();
        assert_eq!(listing.add(b"7\0a\0b\0"), Progress::Next { offset: 4 });
        assert_eq!(listing.add(b"8\0d\0\0"), Progress::Next { offset: 0 });
        assert_eq!(listing.add(b"8\0a\0"), Progress::Next { offset: 2 });
        assert_eq!(listing.add(b"8\0d\0\0"), Progress::Whole(vec!["a".into(), "d".into()]));
    }

    #[test]
    fn a_change_without_end_is_given_up() {
        let mut listing = Listing::default();
        let mut last = Progress::Malformed;
        for generation in 0..10_000 {
            last = listing.add(format!("{generation}\0a\0").as_bytes());
            if last == Progress::Restless {
                return;
            }
        }
        panic!("still going on: {last:?}");
    }

    #[test]
    fn no_progress_and_no_structure_are_refused() {
        assert_eq!(Listing::default().add(b""), Progress::Malformed);
        assert_eq!(Listing::default().add(b"7"), Progress::Malformed);
        assert_eq!(Listing::default().add(b"7\0"), Progress::Malformed);
        assert_eq!(Listing::default().add(b"7\0a"), Progress::Malformed);
        assert_eq!(Listing::default().add(b"7\0\xff\0\0"), Progress::Malformed);
    }
}
