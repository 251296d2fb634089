//! What has to hold for a log whatever is appended to it, in whatever pieces. A body of its own, so that the fuzzer and the tests
//! of the `logfile` crate, which need no fuzzer, check the same.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use logfile::{Bounds, Dir, LogFile, Scratch};
use rustix::pipe::{PipeFlags, pipe_with};

const NAME: &str = "q.log";

/// Takes the first two bytes as bounds. Then comes piece after piece, each behind a byte with its length and how it is appended:
/// from memory or from a pipe, and whether by a writer that has just come.
///
/// # Panics
/// If something does not hold.
pub fn check(data: &[u8]) {
    let [limit, copies, pieces @ ..] = data else { return };
    let bounds = Bounds { limit: u64::from(*limit) + 1, copies: u32::from(copies % 5) };
    let held = place();
    let dir = Dir::open(held.path()).unwrap();
    let open = || LogFile::open(&dir, OsStr::new(NAME), bounds).unwrap();
    let (mut log, mut scratch) = (open(), Scratch::new().unwrap());
    let (mut rest, mut all, mut ends) = (pieces, Vec::new(), Vec::new());
    while let [how, behind @ ..] = rest {
        let (piece, later) = behind.split_at(behind.len().min(usize::from(how >> 2) * 8 + 1));
        rest = later;
        if how & 1 != 0 {
            log = open();
        }
        if how & 2 == 0 {
            log.append(piece).unwrap();
        } else {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
            // Of at most 505 bytes, which every pipe holds.
            assert_eq!(rustix::io::write(&writer, piece), Ok(piece.len()));
            log.append_from_pipe(reader.as_fd(), piece.len(), &mut scratch).unwrap();
        }
        all.extend(piece);
        ends.push(all.len());
        check_files(held.path(), bounds, &all, &ends);
    }
}

/// What is there is the end of what was written, within the bounds, and cut between lines where it can be. Pieces end at `ends`.
fn check_files(dir: &Path, bounds: Bounds, all: &[u8], ends: &[usize]) {
    let limit = usize::try_from(bounds.limit).unwrap();
    // The oldest first. A copy is there or not; beyond the last there is none.
    let names = (1..=bounds.copies).rev().map(|copy| format!("{NAME}.{copy}")).chain([NAME.to_owned()]);
    let files: Vec<Vec<u8>> = names.filter_map(|name| fs::read(dir.join(name)).ok()).collect();
    assert_eq!(fs::read_dir(dir).unwrap().count(), files.len(), "something else is there");
    assert!(files.iter().all(|file| file.len() <= limit), "beyond the limit");
    let read = files.concat();
    assert!(all.ends_with(&read), "{} is not the end of {}", read.escape_ascii(), all.escape_ascii());
    assert!(read.len() == all.len() || files.len() > bounds.copies as usize, "gone before its time");
    let mut end = all.len() - read.len();
    for file in &files[..files.len().saturating_sub(1)] {
        end += file.len();
        let head = file.iter().rev().take_while(|byte| **byte != b'\n').count();
        // A line that is split fills its file, and all of it, or its head was there before the rest came.
        let had_to_be =
            file.len() == limit && (head == limit || ends.iter().any(|at| (end - head + 1..=end).contains(at)));
        assert!(head == 0 || had_to_be, "a line is split that need not be: {}", file.escape_ascii());
    }
}

/// A directory in memory where there is such a place: a fuzzer makes thousands.
fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
