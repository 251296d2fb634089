//! The last lines of a console, for who comes later.

use std::path::Path;

use logfile::{Dir, Follower, Next, Start};
use xenlog::Places;
use xenlog::console::Console;
use xenlog::counters::Status;

/// The most bytes of last lines: a guest need not write newlines.
const MOST: usize = 1 << 20;

/// The last lines in a console's log; nothing if there is none, for whatever reason.
pub fn lines(console: Console, lines: u64, places: &Places) -> Vec<u8> {
    let file = Status::ask(&places.run_dir).ok().and_then(|status| status.console(console)?.file.clone());
    file.and_then(|file| read(Path::new(&file), lines)).unwrap_or_default()
}

fn read(file: &Path, lines: u64) -> Option<Vec<u8>> {
    let dir = Dir::open(file.parent()?).ok()?;
    let mut follower = Follower::open(&dir, file.file_name()?, Start::Lines(lines)).ok()?;
    let (mut found, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match follower.read(&mut buffer).ok()? {
            Next::Bytes(length) => {
                found.extend_from_slice(&buffer[..length]);
                found.drain(..found.len().saturating_sub(MOST));
            }
            Next::Missed(_) => {}
            Next::UpToDate => return Some(found),
        }
    }
}

/// Lines as a raw terminal wants them: a log may have been kept without the returns that a guest writes.
pub fn with_returns(lines: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(lines.len());
    for &byte in lines {
        if byte == b'\n' && shown.last() != Some(&b'\r') {
            shown.push(b'\r');
        }
        shown.push(byte);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_begins_at_the_left() {
        assert_eq!(with_returns(b"a\nb\r\n\nc"), b"a\r\nb\r\n\r\nc");
    }
}
