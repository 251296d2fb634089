//! What an entry asked for, as a number: thousands of logs keep it as long as they run, to notice when something else is asked.

use std::hash::{DefaultHasher, Hash, Hasher};

use logproto::{Entry, NODES};

/// The nodes that make the request: all but the last, `state`.
const ASKED: usize = NODES.len() - 1;

/// What was asked for. Two are equal if the same was, and by a chance of 1 in 2^64 when it was not; who could make that happen on
/// purpose is whoever asks, and has nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    all: u64,
    /// The pipe and the file alone.
    paths: u64,
}

impl Asked {
    /// What this entry asks for.
    pub fn by(entry: &Entry) -> Asked {
        let [pipe, file, ..] = &entry.nodes;
        Asked { all: number(&entry.nodes[..ASKED]), paths: number(&[pipe.as_deref(), file.as_deref()]) }
    }

    /// Whether it asks for this pipe and this file, as they stand in the store.
    pub fn names(self, paths: &[Option<Vec<u8>>; 2]) -> bool {
        self.paths == number(paths)
    }
}

fn number<T: Hash>(nodes: &[Option<T>]) -> u64 {
    // Its length goes before each value: the same bytes in other nodes are not the same.
    let mut hasher = DefaultHasher::new();
    nodes.iter().for_each(|value| value.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(nodes: [Option<&str>; NODES.len()]) -> Entry {
        Entry { nodes: nodes.map(|value| value.map(|value| value.as_bytes().to_vec())) }
    }

    #[test]
    fn every_node_but_the_answer_counts() {
        let whole = [Some("/p"), Some("/f"), Some("4096"), None, Some(""), None, None];
        let asked = Asked::by(&entry(whole));
        let mut answered = whole;
        answered[NODES.len() - 1] = Some("ready");
        assert_eq!(asked, Asked::by(&entry(answered)));
        for changed in 0..ASKED {
            for value in [None, Some(""), Some("x"), Some("/p/f")] {
                let mut other = whole;
                other[changed] = value;
                assert_eq!(asked == Asked::by(&entry(other)), other == whole);
                let paths = [0, 1].map(|node: usize| entry(other).nodes[node].clone());
                assert_eq!(asked.names(&paths), other[..2] == whole[..2]);
            }
        }
        // The same bytes in other nodes.
        let moved = [Some("/p/f"), Some(""), Some("4096"), None, Some(""), None, None];
        assert_ne!(asked, Asked::by(&entry(moved)));
    }
}
