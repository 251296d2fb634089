//! What a log's files come to when they are held against what was written: every byte of it has to be in them, once and
//! in order, but for those that a marker counts.

use std::ops::Range;
use std::path::Path;

use super::host::read_all;
use super::text::{Text, number};

/// A time as it stands before a line: `[2026-01-31 23:59:59] `.
const STAMP: &[u8] = b"[9999-99-99 99:99:99] ";
const MARKER: &[u8] = b"[xenlog: ";

/// What was found, in bytes where nothing else is said.
#[derive(Default)]
pub struct Verdict {
    /// In the files, with everything.
    pub on_disk: u64,
    /// Of the text.
    pub text: u64,
    /// Markers.
    pub gaps: u64,
    /// What they count.
    pub dropped: u64,
    /// Missing, and nothing says so.
    pub lost: u64,
    /// There more than once.
    pub doubled: u64,
    /// There, but behind what comes later.
    pub disordered: u64,
    /// Places of which no sense can be made.
    pub torn: u64,
    /// The first thing that is not as it should be; of several logs, one a line.
    pub fault: Option<String>,
    /// Parts of the text that were found missing, to tell disorder from doubling.
    missing: Vec<Range<u64>>,
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { on_disk, text, gaps, dropped, lost, doubled, disordered, torn, .. } = self;
        writeln!(f, "on disk {on_disk}, text {text}, gaps {gaps}, dropped {dropped}")?;
        writeln!(f, "lost {lost}, doubled {doubled}, disordered {disordered}, torn {torn}")?;
        write!(f, "{}", self.fault.as_deref().unwrap_or("all is there"))
    }
}

impl Verdict {
    /// Of the files of a log, into which the first `written` bytes of a text were written.
    pub fn of(live: &Path, seed: u64, written: u64, stamped: bool) -> Verdict {
        let content = read_all(live);
        let mut verdict = Verdict { on_disk: content.len() as u64, ..Verdict::default() };
        let content = if stamped { verdict.without_stamps(&content) } else { content };
        verdict.judge(&content, seed, written);
        if let Some(fault) = &mut verdict.fault {
            *fault = format!("{}: {fault}", live.display());
        }
        verdict
    }

    /// Adds what was found in another log.
    pub fn add(&mut self, other: Verdict) {
        self.on_disk += other.on_disk;
        self.text += other.text;
        self.gaps += other.gaps;
        self.dropped += other.dropped;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.torn += other.torn;
        let faults: Vec<String> = [self.fault.take(), other.fault].into_iter().flatten().collect();
        self.fault = (!faults.is_empty()).then(|| faults.join("\n"));
    }

    /// Whether each byte is there or counted.
    pub fn is_balanced(&self) -> bool {
        self.fault.is_none()
    }

    fn judge(&mut self, content: &[u8], seed: u64, written: u64) {
        // More than one where it cannot be told whether a newline before a marker is the text's or the marker's.
        let mut places = vec![Text::new(seed)];
        let mut rest = content;
        while let Some((marker, dropped)) = find_marker(rest) {
            places = self.advance(&places, &rest[..marker.start], true, seed);
            places.iter_mut().for_each(|place| place.skip(dropped));
            self.gaps += 1;
            self.dropped += dropped;
            rest = &rest[marker.end..];
        }
        places = self.advance(&places, rest, false, seed);
        let end = places.iter().map(Text::offset).find(|offset| *offset == written);
        match end.unwrap_or_else(|| places[0].offset()) {
            end if end < written => {
                self.lost += written - end;
                self.blame(|| format!("ends at byte {end} of {written}"));
            }
            end if end > written => {
                self.torn += 1;
                self.blame(|| format!("ends at byte {end} of {written}"));
            }
            _ => {}
        }
        self.text = (written - self.lost.min(written)).saturating_sub(self.dropped);
    }

    /// Goes on by what stands between two markers.
    fn advance(&mut self, places: &[Text], segment: &[u8], before_marker: bool, seed: u64) -> Vec<Text> {
        // A marker that would stand in the middle of a line has a newline before it.
        let unsure = before_marker && segment.len() > 1 && segment.ends_with(b"\n");
        let sure = &segment[..segment.len() - usize::from(unsure)];
        let mut reached: Vec<Text> = Vec::new();
        for place in places {
            let mut place = place.clone();
            if place.follow(sure) < sure.len() {
                continue;
            }
            let mut behind = place.clone();
            if unsure && behind.follow(b"\n") == 1 {
                reached.push(behind);
            }
            if !unsure || !sure.ends_with(b"\n") {
                reached.push(place);
            }
        }
        if reached.is_empty() {
            reached.push(self.mend(places[0].clone(), segment, before_marker, seed));
        }
        reached.dedup_by_key(|place| place.offset());
        reached
    }

    /// Finds out what is wrong with a segment, line by line.
    fn mend(&mut self, mut place: Text, segment: &[u8], before_marker: bool, seed: u64) -> Text {
        let mut at = 0;
        loop {
            at += place.follow(&segment[at..]);
            let rest = &segment[at..];
            if rest.is_empty() || (before_marker && rest == b"\n") {
                return place;
            }
            let expected = place.offset();
            self.blame(|| {
                let shown = rest[..rest.len().min(60)].escape_ascii();
                format!("byte {expected} of the text is not where it should be, but \"{shown}\"")
            });
            // The beginning of the line may be that of another one.
            let back = place.back_to_line(at);
            at -= back;
            let expected = expected - back as u64;
            let Some((junk, next)) = next_line(segment, at, &place, seed) else {
                self.torn += 1;
                return place;
            };
            let (from, to) = (expected, next.offset());
            if to >= from {
                self.lost += (to - from).saturating_sub(junk as u64);
                self.missing.push(from..to);
            } else if self.missing.iter().any(|missing| missing.contains(&to)) {
                self.disordered += from - to;
            } else {
                self.doubled += from - to;
            }
            at += junk;
            place = next;
        }
    }

    fn without_stamps(&mut self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(content.len());
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            if find_marker(line).is_some() {
                out.extend_from_slice(line);
            } else if is_stamped(line) {
                out.extend_from_slice(&line[STAMP.len()..]);
            } else {
                self.torn += 1;
                self.blame(|| format!("a line has no time: \"{}\"", line[..line.len().min(60)].escape_ascii()));
                out.extend_from_slice(line);
            }
        }
        out
    }

    fn blame(&mut self, why: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(why);
    }
}

/// The next line that is one of the text's, how many bytes come before it, and its place.
fn next_line(segment: &[u8], at: usize, place: &Text, seed: u64) -> Option<(usize, Text)> {
    let starts = (at..segment.len()).filter(|&start| start == 0 || segment[start - 1] == b'\n');
    for start in starts {
        let line = segment[start..].split_inclusive(|byte| *byte == b'\n').next()?;
        let Some(number) = number(line) else { continue };
        // No text is that long, so it is no line of one.
        if number > place.line() + 1_000_000 {
            continue;
        }
        let from = if number > place.line() { place.clone() } else { Text::new(seed) };
        let found = from.at_line(number);
        if line.len() == found.line_len() && found.clone().follow(line) == line.len() {
            return Some((start - at, found));
        }
    }
    None
}

/// The first marker, where it stands and what it counts.
fn find_marker(content: &[u8]) -> Option<(Range<usize>, u64)> {
    let mut from = 0;
    loop {
        let start = from + content[from..].windows(MARKER.len()).position(|window| window == MARKER)?;
        from = start + 1;
        if start > 0 && content[start - 1] != b'\n' {
            continue;
        }
        let line = content[start..].split_inclusive(|byte| *byte == b'\n').next()?;
        let text = std::str::from_utf8(&line[MARKER.len()..]).ok()?;
        if let Some((number, rest)) = text.split_once(" bytes dropped ")
            && rest.ends_with("]\n")
            && let Ok(dropped) = number.parse()
        {
            return Some((start..start + line.len(), dropped));
        }
    }
}

fn is_stamped(line: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'9' { byte.is_ascii_digit() } else { byte == shape };
    line.len() >= STAMP.len() && line.iter().zip(STAMP).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: u64 = 400_000;

    fn text() -> Vec<u8> {
        let mut text = Vec::new();
        Text::new(3).take(WRITTEN as usize, &mut text);
        text
    }

    fn judge(pieces: &[&[u8]]) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("log");
        // The older half in a copy.
        let all = pieces.concat();
        std::fs::write(dir.path().join("log.1"), &all[..all.len() / 2]).unwrap();
        std::fs::write(&live, &all[all.len() / 2..]).unwrap();
        Verdict::of(&live, 3, WRITTEN, false)
    }

    /// Where the line begins that has this byte.
    fn line_at(text: &[u8], at: usize) -> usize {
        text[..at].iter().rposition(|byte| *byte == b'\n').unwrap() + 1
    }

    #[test]
    fn what_is_all_there_is_balanced() {
        let verdict = judge(&[&text()]);
        assert!(verdict.is_balanced() && verdict.text == WRITTEN && verdict.on_disk == WRITTEN, "{verdict:?}");
    }

    #[test]
    fn a_gap_that_is_counted_right_is_no_loss_wherever_it_is() {
        let text = text();
        let line = line_at(&text, 100_000);
        for from in [line - 2, line - 1, line, line + 1, line + 12] {
            for to in [line + 20, line_at(&text, 200_000) - 1, line_at(&text, 200_000)] {
                let newline: &[u8] = if text[from - 1] == b'\n' { b"" } else { b"\n" };
                let marker = |bytes| format!("[xenlog: {bytes} bytes dropped x..y: why]\n").into_bytes();
                let right = judge(&[&text[..from], newline, &marker(to - from), &text[to..]]);
                assert!(right.is_balanced(), "{from} {to} {right:?}");
                assert_eq!((right.gaps, right.dropped), (1, (to - from) as u64));
                // By one it could be right: where the newline before the marker is the marker's.
                let wrong = judge(&[&text[..from], newline, &marker(to - from + 2), &text[to..]]);
                assert!(!wrong.is_balanced(), "{from} {to}");
            }
        }
    }

    #[test]
    fn what_is_missing_there_twice_or_in_another_order_is_told() {
        let text = text();
        let [a, b, c] = [50_000, 100_000, 150_000].map(|at| line_at(&text, at));
        let lost = judge(&[&text[..a + 3], &text[b + 5..]]);
        assert_eq!((lost.lost, lost.doubled, lost.disordered), ((b + 5 - a - 3) as u64, 0, 0), "{lost:?}");
        let doubled = judge(&[&text[..b], &text[a..]]);
        assert_eq!((doubled.lost, doubled.doubled, doubled.disordered), (0, (b - a) as u64, 0), "{doubled:?}");
        let disordered = judge(&[&text[..a], &text[b..c], &text[a..b], &text[c..]]);
        assert!(disordered.disordered > 0 && disordered.doubled == 0, "{disordered:?}");
        let short = judge(&[&text[..b]]);
        assert_eq!(short.lost, WRITTEN - b as u64);
        assert!(judge(&[&text, b"more"]).torn > 0);
    }

    #[test]
    fn stamps_are_taken_off_and_missed() {
        let mut verdict = Verdict::default();
        let marker = "[xenlog: 5 bytes dropped x..y: why]\n";
        let stamped = format!("[2026-01-31 23:59:59] one\n{marker}[2026-01-31 23:59:59] \n");
        assert_eq!(verdict.without_stamps(stamped.as_bytes()), format!("one\n{marker}\n").as_bytes());
        assert!(verdict.is_balanced());
        verdict.without_stamps(b"one\n");
        assert!(!verdict.is_balanced());
    }
}
