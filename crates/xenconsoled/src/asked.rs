//! What an entry asked for, kept as long as its log runs: in one piece, since there may be thousands.

use logproto::{Entry, NODES};

/// The nodes that make the request: all but the last, `state`.
const ASKED: usize = NODES.len() - 1;

/// The request nodes of an entry, one value after the other.
#[derive(Debug)]
pub struct Asked {
    values: Box<[u8]>,
    /// Where each value ends, behind the one before it; `None` where there is no such node.
    ends: [Option<u16>; ASKED],
}

impl Asked {
    /// What this entry asks for.
    pub fn by(entry: &Entry) -> Asked {
        let (mut values, mut ends) = (Vec::new(), [None; ASKED]);
        for (value, end) in entry.nodes.iter().zip(&mut ends) {
            if let Some(value) = value {
                values.extend_from_slice(value);
                // Six values of at most 4096 bytes, the most that a message of the store holds.
                *end = Some(u16::try_from(values.len()).unwrap_or(u16::MAX));
            }
        }
        Asked { values: values.into(), ends }
    }

    /// Whether this entry asks for the same, whatever has been answered.
    pub fn is_by(&self, entry: &Entry) -> bool {
        self.nodes().eq(entry.nodes[..ASKED].iter().map(Option::as_deref))
    }

    /// The entry, without an answer.
    pub fn entry(&self) -> Entry {
        let mut entry = Entry::default();
        for (node, value) in entry.nodes.iter_mut().zip(self.nodes()) {
            *node = value.map(<[u8]>::to_vec);
        }
        entry
    }

    fn nodes(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = usize::from((*end)?);
            let value = self.values.get(start..end);
            start = end;
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(nodes: [Option<&str>; NODES.len()]) -> Entry {
        Entry { nodes: nodes.map(|value| value.map(|value| value.as_bytes().to_vec())) }
    }

    #[test]
    fn every_node_but_the_answer_is_kept() {
        let whole = [Some("/p"), Some("/f"), Some("4096"), None, Some(""), None, None];
        let asked = Asked::by(&entry(whole));
        assert_eq!(asked.entry(), entry(whole));
        let mut answered = whole;
        answered[NODES.len() - 1] = Some("ready");
        assert!(asked.is_by(&entry(answered)));
        for changed in 0..ASKED {
            for value in [None, Some(""), Some("x"), Some("/p/f")] {
                let mut other = whole;
                other[changed] = value;
                assert_eq!(asked.is_by(&entry(other)), other == whole);
            }
        }
        // The same bytes in other nodes.
        assert!(!asked.is_by(&entry([Some("/p/f"), Some(""), Some("4096"), None, Some(""), None, None])));
        let large = "x".repeat(4096);
        let largest = entry([Some(&large); NODES.len()]);
        assert!(Asked::by(&largest).is_by(&largest));
    }
}
