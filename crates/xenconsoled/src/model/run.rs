//! A FIFO and what was written to it: each byte is known, and where it has come to.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::io::{ioctl_fionread, write};
use rustix::pipe::fcntl_setpipe_size;

use super::chance::Chance;
use crate::logs::FifoId;
use crate::pipe;

/// What a writer writes. A `[` is never in it: that is how the daemon's own words are told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Numbered lines.
    Lines,
    /// Lines with carriage returns before and behind their newlines.
    Returns,
    /// Any bytes but carriage returns.
    Binary,
    /// No newline, ever.
    Endless,
}

/// One FIFO.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub fifo: FifoId,
    /// Every request for it said `block`.
    pub blocks: bool,
    /// Where in what was written the file has come to: all before that is in it, told to be missing, or was given up.
    pub read: usize,
    /// Bytes that were given up when the log came to its end.
    pub lost: usize,
    /// Bytes that are in the file, and may be told to be missing.
    pub counted_too: usize,
    sent: Vec<u8>,
    dropped: Vec<Range<usize>>,
    /// Keeps the pipe, so that what is left in it can be counted.
    probe: OwnedFd,
    writer: Option<OwnedFd>,
    voice: Voice,
    chance: Chance,
    ready: Vec<u8>,
    lines: u64,
}

impl Run {
    /// Makes a FIFO.
    pub fn make(path: &Path, size: usize, voice: Voice, chance: Chance) -> Run {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
        let probe = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
        fcntl_setpipe_size(&probe, size).unwrap();
        let fifo = pipe::id_of(&probe).unwrap();
        Run {
            fifo,
            blocks: true,
            read: 0,
            lost: 0,
            counted_too: 0,
            sent: Vec::new(),
            dropped: Vec::new(),
            probe,
            writer: None,
            voice,
            chance,
            ready: Vec::new(),
            lines: 0,
        }
    }

    /// What is written to it.
    pub fn voice(&self) -> Voice {
        self.voice
    }

    /// Opens it for writing, if its name still leads to it.
    pub fn open(&mut self, path: &Path) {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = open(path, flags, Mode::empty()) else { return };
        if pipe::id_of(&fd) == Some(self.fifo) {
            self.writer = Some(fd);
        }
    }

    /// The writer closes it.
    pub fn close(&mut self) {
        self.writer = None;
    }

    /// Whether somebody writes.
    pub fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes so many bytes, if there is room for them. Answers with how many there was.
    pub fn write(&mut self, len: usize) -> usize {
        while self.ready.len() < len {
            self.speak();
        }
        let Some(writer) = &self.writer else { return 0 };
        let written = write(writer, &self.ready[..len]).unwrap_or(0);
        self.sent.extend(self.ready.drain(..written));
        written
    }

    fn speak(&mut self) {
        self.lines += 1;
        let number = self.lines;
        let fill = self.chance.length(300);
        let mut letters = |len: usize| -> String {
            let first = self.chance.below(26);
            (first..first + len).map(|n| char::from(b'a' + (n % 26) as u8)).collect()
        };
        match self.voice {
            Voice::Lines => self.ready.extend(format!("{number} {}\n", letters(fill)).bytes()),
            Voice::Returns => {
                let text = letters(fill);
                let ends = ["\n", "\r\n", "\n\r", "\r\n\r", "\n\n\r\r"];
                self.ready.extend(format!("{number} {text}{}", ends[self.chance.below(ends.len())]).bytes());
            }
            Voice::Binary => {
                let bytes =
                    (0..fill).map(|_| self.chance.number().to_le_bytes()[0]).filter(|byte| !b"[\r".contains(byte));
                self.ready.extend(bytes.collect::<Vec<u8>>());
            }
            Voice::Endless => self.ready.extend(format!("{number} {}", letters(fill)).bytes()),
        }
    }

    /// Everything that was written.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// How many bytes are in the pipe.
    pub fn waiting(&self) -> usize {
        usize::try_from(ioctl_fionread(self.probe.as_fd()).unwrap()).unwrap()
    }

    /// How many were taken out of it.
    pub fn taken(&self) -> usize {
        self.sent.len() - self.waiting()
    }

    /// The bytes of this range were dropped: it is behind all others.
    pub fn add_dropped(&mut self, range: Range<usize>) {
        match self.dropped.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            last => {
                assert!(last.is_none_or(|last| last.end < range.start), "dropped in disorder");
                self.dropped.push(range);
            }
        }
    }

    /// The bytes that were given up in the middle of it all, from where the file has come to: so many that were not dropped yet.
    pub fn add_vanished(&mut self, mut bytes: usize) {
        let mut at = self.read;
        let mut all = std::mem::take(&mut self.dropped);
        let mut new = Vec::new();
        while bytes > 0 {
            at = all.iter().find(|range| range.contains(&at)).map_or(at, |range| range.end);
            let next = all.iter().map(|range| range.start).find(|start| *start > at).unwrap_or(usize::MAX);
            let len = bytes.min(next - at);
            new.push(at..at + len);
            (at, bytes) = (at + len, bytes - len);
        }
        all.extend(new);
        all.sort_by_key(|range| range.start);
        all.into_iter().for_each(|range| self.add_dropped(range));
    }

    /// How many bytes were dropped in all.
    pub fn dropped(&self) -> usize {
        self.dropped.iter().map(Range::len).sum()
    }

    /// How many dropped bytes begin or go on here.
    pub fn gap_at(&self, at: usize) -> usize {
        self.dropped.iter().find(|range| range.contains(&at)).map_or(0, |range| range.end - at)
    }

    /// Where the next dropped bytes begin, behind here.
    pub fn next_gap(&self, at: usize) -> usize {
        self.dropped.iter().map(|range| range.start).find(|start| *start > at).unwrap_or(usize::MAX)
    }

    /// What was taken out of the pipe and not dropped, and is not in the file.
    pub fn missing(&self) -> Vec<u8> {
        let (mut at, end) = (self.read, self.taken());
        let mut missing = Vec::new();
        while at < end {
            let gap = self.gap_at(at);
            if gap > 0 {
                at += gap;
                continue;
            }
            let next = self.next_gap(at).min(end);
            missing.extend_from_slice(&self.sent[at..next]);
            at = next;
        }
        missing
    }

    /// How many of the dropped bytes are not told.
    pub fn untold(&self) -> usize {
        self.dropped.iter().map(|range| range.end.saturating_sub(range.start.max(self.read))).sum()
    }
}
