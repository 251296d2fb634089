//! One log's file, read as it grows, and held against what was written to its FIFO.

use std::ffi::{OsStr, OsString};

use logfile::{Dir, Follower, Next, Start};

use super::run::Run;

/// Whether lines have the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamping {
    /// None has.
    No,
    /// Each has.
    Yes,
    /// It was changed while the log was served.
    Maybe,
}

/// `[YYYY-MM-DD HH:MM:SS] `
const STAMP: &[u8] = b"[dddd-dd-dd dd:dd:dd] ";
const MARKER: &[u8] = b"[xenlog: ";

fn is_half_a_time(bytes: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| byte == shape || byte.is_ascii_digit() && *shape == b'd';
    bytes.len() <= STAMP.len() && bytes.iter().zip(STAMP).all(fits)
}

/// What a log's files held, from the first byte on.
#[derive(Debug)]
pub struct Tail {
    dir: Dir,
    name: OsString,
    follower: Follower,
    bytes: Vec<u8>,
    /// So much of it is explained.
    parsed: usize,
    /// How many markers were read.
    pub markers: u64,
}

impl Tail {
    /// Of the file of that name, which need not be there yet.
    pub fn new(dir: &Dir, name: &OsStr) -> Tail {
        let follower = Follower::open(dir, name, Start::Oldest).unwrap();
        let (dir, name) = (dir.clone(), name.to_owned());
        Tail { dir, name, follower, bytes: Vec::new(), parsed: 0, markers: 0 }
    }

    /// Reads on.
    pub fn read(&mut self) -> Result<(), String> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.follower.read(&mut buffer).map_err(|why| why.to_string())? {
                Next::Bytes(len) => self.bytes.extend_from_slice(&buffer[..len]),
                Next::UpToDate => return Ok(()),
                Next::Missed(missed) => return Err(format!("{:?}: {missed:?} bytes cannot be read", self.name)),
            }
        }
    }

    /// Whether all that was read is explained.
    pub fn is_explained(&self) -> bool {
        self.parsed == self.bytes.len()
    }

    /// Whether the next byte starts a line.
    pub fn is_at_line_start(&self) -> bool {
        self.parsed == 0 || self.bytes[self.parsed - 1] == b'\n'
    }

    /// What is left is half a word of the daemon's, of which the rest was given up.
    pub fn pass_over(&mut self) {
        self.parsed = self.bytes.len();
    }

    /// Holds the files themselves against what was read from them.
    pub fn compare(&self) -> Result<(), String> {
        let mut kept = Vec::new();
        let path = |name: &OsStr| self.dir.path().join(name);
        for number in (0..200).rev() {
            let mut name = self.name.clone();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            kept.extend(std::fs::read(path(&name)).unwrap_or_default());
        }
        if self.bytes.ends_with(&kept) { Ok(()) } else { Err(format!("{:?}: files are not as they were", self.name)) }
    }

    /// Explains what was read by what was written to a FIFO.
    pub fn parse(&mut self, run: &mut Run, stamping: Stamping) -> Result<(), String> {
        while !self.is_explained() {
            let rest = &self.bytes[self.parsed..];
            let gap = run.gap_at(run.read);
            let may_be_marker = || run.counted_too > 0 && self.marker(rest).is_ok();
            if gap > 0 && stamping != Stamping::No {
                // What should have followed half a time was given up; then the marker follows it, on a line of its own.
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                if end > 0 && is_half_a_time(&rest[..end]) {
                    if rest.len() <= end + MARKER.len() {
                        return Ok(());
                    }
                    if rest[end + 1..].starts_with(MARKER) {
                        self.parsed += end;
                        continue;
                    }
                }
            }
            if gap > 0 || may_be_marker() {
                let Some((len, told)) = self.marker(rest)? else { return Ok(()) };
                if told > gap + run.counted_too || told == 0 {
                    return Err(self.wrong(&format!("a marker of {told} bytes where {gap} are missing")));
                }
                run.counted_too -= told.saturating_sub(gap);
                (self.parsed, run.read) = (self.parsed + len, run.read + told.min(gap));
                self.markers += 1;
                continue;
            }
            // A line seems to start where a file does, also if the file before ends in the middle of one.
            let starts = self.is_at_line_start()
                || stamping != Stamping::No && rest[0] == b'[' && run.read < run.taken() && self.is_boundary();
            if run.read >= run.taken() {
                return Err(self.wrong("nobody wrote that, or it is there twice"));
            }
            let left_out = stamping == Stamping::Yes || stamping == Stamping::Maybe && rest[0] != b'\r';
            if starts && left_out && run.sent()[run.read] == b'\r' {
                // It is left out, as xenconsoled does.
                run.read += 1;
                continue;
            }
            if stamping != Stamping::No && starts && rest[0] == b'[' {
                if !is_half_a_time(&rest[..rest.len().min(STAMP.len())]) {
                    return Err(self.wrong("not a time"));
                }
                if rest.len() < STAMP.len() {
                    return Ok(());
                }
                self.parsed += STAMP.len();
                // What follows is no start of a line any more.
                let Some(next) = self.bytes.get(self.parsed) else { return Ok(()) };
                if *next != run.sent()[run.read] {
                    return Err(self.wrong("a time, and then something else"));
                }
            } else if starts && stamping == Stamping::Yes {
                return Err(self.wrong("a line without the time"));
            }
            let rest = &self.bytes[self.parsed..];
            let mut expected = &run.sent()[run.read..run.taken().min(run.next_gap(run.read))];
            if stamping != Stamping::No
                && let Some(newline) = expected.iter().position(|byte| *byte == b'\n')
            {
                expected = &expected[..=newline];
            }
            let same = rest.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
            if same == 0 || same < rest.len().min(expected.len()) {
                (self.parsed, run.read) = (self.parsed + same, run.read + same);
                if same > 0 && run.counted_too > 0 && self.marker(&self.bytes[self.parsed..]).is_ok() {
                    continue;
                }
                let expected = run.sent()[run.read..].iter().take(40).copied().collect::<Vec<u8>>();
                return Err(self.wrong(&format!("not \"{}\"", expected.escape_ascii())));
            }
            (self.parsed, run.read) = (self.parsed + same, run.read + same);
        }
        Ok(())
    }

    /// Reads a marker: its length, and the bytes that it tells of. None while it is not all there.
    fn marker(&self, rest: &[u8]) -> Result<Option<(usize, usize)>, String> {
        let newline = usize::from(!self.is_at_line_start() && rest[0] == b'\n');
        if newline == 0 && !self.is_at_line_start() && !self.is_boundary() {
            return Err(self.wrong("neither a newline nor a marker, where bytes are missing"));
        }
        let text = &rest[newline..];
        if !text.iter().zip(MARKER).all(|(byte, expected)| byte == expected) {
            return Err(self.wrong("no marker where bytes are missing"));
        }
        let Some(end) = text.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = String::from_utf8_lossy(&text[..end]);
        let told = line.strip_prefix("[xenlog: ").and_then(|line| line.split_once(" bytes dropped "));
        let told = told.filter(|(_, rest)| rest.ends_with(']') && rest.contains("..") && rest.contains(": "));
        match told.and_then(|(bytes, _)| bytes.parse().ok()) {
            Some(bytes) => Ok(Some((newline + end + 1, bytes))),
            None => Err(self.wrong("not a marker")),
        }
    }

    /// Whether a file begins where the parse stands.
    fn is_boundary(&self) -> bool {
        let mut left = self.bytes.len();
        for number in 0..200 {
            let mut name = self.name.clone();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            let size = std::fs::metadata(self.dir.path().join(name)).map_or(0, |meta| meta.len());
            left = left.saturating_sub(usize::try_from(size).unwrap());
            if left == self.parsed {
                return true;
            }
        }
        false
    }

    fn wrong(&self, what: &str) -> String {
        let from = self.parsed.saturating_sub(80);
        let (before, after) = (&self.bytes[from..self.parsed], &self.bytes[self.parsed..]);
        let after = &after[..after.len().min(120)];
        format!(
            "{:?} at {}: {what}: \"{}\" <here> \"{}\"",
            self.name,
            self.parsed,
            before.escape_ascii(),
            after.escape_ascii()
        )
    }
}
