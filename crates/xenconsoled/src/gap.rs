//! What is missing from a log, and the line that says so.

use std::time::SystemTime;

/// Bytes that were dropped, from when to when and why.
#[derive(Debug)]
pub struct Gap {
    bytes: u64,
    from: SystemTime,
    to: SystemTime,
    why: String,
    writing: Option<Marker>,
}

/// The line that is being written.
#[derive(Debug)]
struct Marker {
    text: String,
    written: usize,
    /// How many bytes it counts.
    bytes: u64,
}

impl Gap {
    /// An empty gap that begins now.
    pub fn new(now: SystemTime, why: String) -> Gap {
        Gap { bytes: 0, from: now, to: now, why, writing: None }
    }

    /// So many more bytes were dropped.
    pub fn add(&mut self, bytes: usize, now: SystemTime) {
        self.bytes += bytes as u64;
        self.to = now;
    }

    /// How many bytes are missing.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why they are.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The line that says so, or what is left of it: a marker that was begun is ended as it began, so that it stays one line
    /// with one count.
    pub fn marker(&mut self, mid_line: bool) -> String {
        if let Some(marker) = self.writing.as_ref().filter(|marker| marker.written > 0) {
            return marker.text[marker.written..].to_owned();
        }
        let time = |time| crate::stamp::text(time).trim_end().trim_matches(['[', ']']).to_owned();
        let newline = if mid_line { "\n" } else { "" };
        let why = self.why.replace(|c: char| c.is_control() || !c.is_ascii(), "?");
        let text =
            format!("{newline}[xenlog: {} bytes dropped {}..{}: {why}]\n", self.bytes, time(self.from), time(self.to),);
        self.writing = Some(Marker { text: text.clone(), written: 0, bytes: self.bytes });
        text
    }

    /// So many bytes of the marker are in the log.
    pub fn marked(&mut self, written: usize) {
        if let Some(marker) = &mut self.writing {
            marker.written += written;
        }
    }

    /// The marker is in the log, whole. What was dropped since it was begun is a gap of its own.
    pub fn rest(self) -> Option<Gap> {
        let marked = self.writing.as_ref().map_or(0, |marker| marker.bytes);
        (self.bytes > marked).then(|| Gap { bytes: self.bytes - marked, writing: None, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_one_line_with_the_count() {
        let mut gap = Gap::new(SystemTime::now(), "no space\nleft".into());
        gap.add(5, SystemTime::now());
        gap.add(7, SystemTime::now());
        let marker = gap.marker(true);
        assert!(marker.starts_with("\n[xenlog: 12 bytes dropped 2"), "{marker:?}");
        assert!(marker.ends_with(": no space?left]\n"));
        assert!(gap.marker(false).starts_with("[xenlog: 12 "));
    }

    #[test]
    fn a_marker_that_was_cut_short_is_ended_as_it_began() {
        let mut gap = Gap::new(SystemTime::now(), "full".into());
        gap.add(5, SystemTime::now());
        let first = gap.marker(false);
        gap.marked(10);
        assert_eq!(gap.marker(true), first[10..]);
        gap.marked(3);
        gap.add(7, SystemTime::now());
        assert_eq!(gap.marker(true), first[13..]);
        let mut rest = gap.rest().unwrap();
        assert!(rest.marker(false).starts_with("[xenlog: 7 "), "what came later is counted by itself");
        assert!(rest.rest().is_none());
    }
}
