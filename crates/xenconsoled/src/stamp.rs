//! The time before each line.

use std::time::SystemTime;

/// Puts the time before each line of one log. The state is the log's own: another log's lines do not disturb it.
#[derive(Debug, Default)]
pub struct Stamper {
    /// `None` until it is known.
    at_line_start: Option<bool>,
}

impl Stamper {
    /// Finds out whether a line starts where the log ends, if that is not known.
    pub fn settle<E>(&mut self, look: impl FnOnce() -> Result<bool, E>) -> Result<(), E> {
        if self.at_line_start.is_none() {
            self.at_line_start = Some(look()?);
        }
        Ok(())
    }

    /// Appends `bytes` to `out`, with the time before each line that starts in them. Carriage returns that follow a newline
    /// are left out, as xenconsoled does (tools/console/daemon/io.c, `write_with_timestamp`).
    pub fn stamp(&mut self, bytes: &[u8], stamp: &str, out: &mut Vec<u8>) {
        let at_line_start = self.at_line_start.get_or_insert(true);
        for &byte in bytes {
            if *at_line_start {
                if byte == b'\r' {
                    continue;
                }
                out.extend_from_slice(stamp.as_bytes());
            }
            out.push(byte);
            *at_line_start = byte == b'\n';
        }
    }
}

/// Of `bytes`, which stand in `text` with the times: how many are not in its first `written` bytes.
pub fn not_in(bytes: &[u8], text: &[u8], written: usize) -> usize {
    // Where the first line starts is not kept: its length says whether the text begins with a time.
    let ends = [true, false].map(|at_line_start| {
        let (mut stamper, mut out) = (Stamper { at_line_start: Some(at_line_start) }, Vec::with_capacity(text.len()));
        let stamp = "_".repeat(TIME);
        let ends: Vec<usize> = bytes
            .iter()
            .map(|byte| {
                stamper.stamp(std::slice::from_ref(byte), &stamp, &mut out);
                out.len()
            })
            .collect();
        ends
    });
    let fits = |ends: &&Vec<usize>| ends.last().is_some_and(|end| *end == text.len());
    match ends.iter().find(fits) {
        Some(ends) => ends.iter().filter(|end| **end > written).count(),
        None => bytes.len(),
    }
}

/// Bytes of a time.
const TIME: usize = "[YYYY-MM-DD HH:MM:SS] ".len();

/// A time as it stands before a line: `[YYYY-MM-DD HH:MM:SS] `, local time, as xenconsoled writes it.
pub fn text(time: SystemTime) -> String {
    let mut text = String::new();
    write(time, &mut text);
    text
}

/// Puts a time as it stands before a line in place of what is in `text`.
pub fn write(time: SystemTime, text: &mut String) {
    text.clear();
    // The clock stands before the year -9999 or after 9999: better no time than no line.
    let Ok(time) = jiff::Timestamp::try_from(time) else { return };
    let time = time.to_zoned_datetime(jiff::tz::TimeZone::system());
    // A String takes whatever is written to it.
    let _ = std::fmt::Write::write_fmt(text, format_args!("{}", time.strftime("[%Y-%m-%d %H:%M:%S] ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(chunks: &[&[u8]]) -> String {
        let (mut stamper, mut out) = (Stamper::default(), Vec::new());
        for chunk in chunks {
            stamper.stamp(chunk, "T ", &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_has_one_time_however_it_arrives() {
        assert_eq!(stamped(&[b"one\ntwo\n"]), "T one\nT two\n");
        assert_eq!(stamped(&[b"o", b"ne", b"\n", b"two", b"\n\nx"]), "T one\nT two\nT \nT x");
        assert_eq!(stamped(&[b"", b"\n"]), "T \n");
    }

    #[test]
    fn carriage_returns_after_a_newline_are_left_out() {
        assert_eq!(stamped(&[b"a\n\r", b"\rb\r\n"]), "T a\nT b\r\n");
    }

    /// A log with times came to its end on a full disk: what was given up was counted whole, also what had been written of it.
    #[test]
    fn what_is_not_in_a_text_that_was_written_in_part() {
        let time = text(SystemTime::now());
        for start in ["", "x"] {
            let (mut stamper, mut out) = (Stamper::default(), Vec::new());
            stamper.stamp(start.as_bytes(), &time, &mut out);
            out.clear();
            let bytes = b"one\n\rtwo\n\nthree";
            stamper.stamp(bytes, &time, &mut out);
            let lines: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
            let time_of_first = if start.is_empty() { TIME } else { 0 };
            assert_eq!(not_in(bytes, &out, 0), bytes.len());
            assert_eq!(not_in(bytes, &out, time_of_first), bytes.len(), "a time alone");
            assert_eq!(not_in(bytes, &out, time_of_first + 2), bytes.len() - 2);
            // What is left out needs no room.
            assert_eq!(not_in(bytes, &out, lines[0].len()), bytes.len() - 5);
            assert_eq!(not_in(bytes, &out, lines[0].len() + TIME + 1), bytes.len() - 6);
            assert_eq!(not_in(bytes, &out, out.len()), 0);
        }
        assert_eq!(not_in(b"abc", b"something else", 5), 3);
    }

    #[test]
    fn a_time_is_written_like_xenconsoled_does() {
        let text = text(SystemTime::now());
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "[9999-99-99 99:99:99] ");
    }
}
