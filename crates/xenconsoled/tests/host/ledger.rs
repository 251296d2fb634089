//! A log held against what was written to it.

use std::fs::{self, File};
use std::io::Write;

use super::{Log, until};

/// Writes to a log that drops, until what is written is in its file again, and a last line behind it. All of it is in `written` then.
pub fn goes_on(end: &mut File, log: &Log, written: &mut Vec<u8>) {
    let mut write = |line: &[u8]| {
        end.write_all(line).unwrap();
        written.extend_from_slice(line);
    };
    until("the log to go on", || {
        write(b"is there room again?\n");
        log.content().ends_with(b"is there room again?\n").then_some(())
    });
    write(b"the end\n");
    until("the end", || log.content().ends_with(b"the end\n").then_some(()));
}

/// Reads a log against what was written to it: what is there, and what its markers say is missing, must be the whole, in order, and each marker must
/// give this reason. Gives the number of markers.
pub fn ledger_balances(log: &Log, written: &[u8], why: &str) -> usize {
    let content = log.content();
    balance(&content, written, why).unwrap_or_else(|| {
        let copy = std::env::temp_dir().join(format!("unbalanced-{}.log", std::process::id()));
        fs::write(&copy, &content).unwrap();
        panic!("bytes written are not those in the file and those dropped: see {}", copy.display())
    })
}

/// The number of markers in the content of a log, if it is what was written, less what the markers say.
fn balance(content: &[u8], written: &[u8], reason: &str) -> Option<usize> {
    const MARKER: &[u8] = b"[xenlog: ";
    let Some(marker) = content.windows(MARKER.len()).position(|window| window == MARKER) else {
        return (content == written).then_some(0);
    };
    let (piece, rest) = content.split_at(marker);
    let (text, rest) = rest.split_at(rest.iter().position(|byte| *byte == b'\n')?);
    let text = std::str::from_utf8(text).unwrap();
    let (bytes, more) = text[MARKER.len()..].split_once(" bytes dropped ").expect(text);
    let (time, why) = more.split_once(": ").expect(text);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99 99:99:99..9999-99-99 99:99:99", "{text}");
    assert!(why.ends_with(']') && why.contains(reason), "{text}");
    let dropped: usize = bytes.parse().unwrap();
    // A marker begins a line. Whether the newline before it is of the marker or was written shows only by what comes after.
    let pieces = [Some(piece), piece.strip_suffix(b"\n")];
    pieces.into_iter().flatten().find_map(|piece| {
        let missing = written.strip_prefix(piece)?.get(dropped..)?;
        Some(balance(&rest[1..], missing, reason)? + 1)
    })
}
