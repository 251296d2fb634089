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

/// A time as it stands before a line: `[YYYY-MM-DD HH:MM:SS] `, local time, as xenconsoled writes it.
pub fn text(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("[%Y-%m-%d %H:%M:%S] ").to_string(),
        // The clock stands before the year -9999 or after 9999: better no time than no line.
        Err(_) => String::new(),
    }
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

    #[test]
    fn a_time_is_written_like_xenconsoled_does() {
        let text = text(SystemTime::now());
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "[9999-99-99 99:99:99] ");
    }
}
