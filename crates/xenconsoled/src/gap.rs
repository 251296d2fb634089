//! What is missing from a log, and the line that says so.

use std::time::SystemTime;

/// Bytes that were dropped, from when to when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub bytes: u64,
    /// When the first was dropped.
    pub from: SystemTime,
    /// When the last was dropped.
    pub to: SystemTime,
    /// Why.
    pub why: String,
}

impl Gap {
    /// The line that says so in the log; on a line of its own, so behind a newline where the log stands in the middle of one.
    pub fn marker(&self, mid_line: bool) -> String {
        let time = |time| crate::stamp::text(time).trim_end().trim_matches(['[', ']']).to_owned();
        let newline = if mid_line { "\n" } else { "" };
        // One line, whatever the reason says.
        let why = self.why.replace(|c: char| c.is_control(), " ");
        let (from, to) = (time(self.from), time(self.to));
        format!("{newline}[xenlog: {} bytes dropped {from}..{to}: {why}]\n", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_one_line_with_the_count() {
        let now = SystemTime::now();
        let gap = Gap { bytes: 12, from: now, to: now, why: "no space\nleft".into() };
        let marker = gap.marker(true);
        assert!(marker.starts_with("\n[xenlog: 12 bytes dropped 2"), "{marker:?}");
        assert!(marker.ends_with(": no space left]\n") && marker.matches('\n').count() == 2);
        assert!(gap.marker(false).starts_with("[xenlog: 12 "));
    }
}
