//! A hand: what was taken from one log's pipe and is on its way into the file, in such a way that a daemon which is killed at
//! any moment can go on from there.
//!
//! The bytes are in the private pipe, which the keeper or systemd holds too. What goes into the file as it is moves from that
//! pipe by splice(2), so it is in the one or the other. What is made for the file (lines with the time, a marker) is first written
//! into the [`Book`] with the logical offset that it begins at: how far the file is then tells how much of it is there.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use logfile::Scratch;

use crate::book::{Book, HandRecord, Phase};
use crate::chunk::Chunk;
use crate::file::LogFile;
use crate::logs::StreamId;
use crate::stamp;

/// One hand.
#[derive(Debug)]
pub struct Hand {
    number: u32,
    chunk: Chunk,
    book: Arc<Book>,
    record: HandRecord,
    /// While the phase is `Writing`: the text, and how much of it is in the file.
    text: Vec<u8>,
    written: usize,
}

/// No log has this number.
const NOBODY: StreamId = StreamId(u64::MAX - 1);

/// Why a hand could not finish: for the log of the daemon and the marker in the log.
pub type Why = String;

impl Hand {
    /// A hand with nothing in it.
    pub fn new(number: u32, chunk: Chunk, book: Arc<Book>) -> Hand {
        let record = HandRecord { stream: NOBODY, phase: Phase::Moving };
        Hand { number, chunk, book, record, text: Vec::new(), written: 0 }
    }

    /// A hand as a killed daemon left it. `chunk` is its pipe. One of which nothing was noted was never used. Where the book cannot
    /// be read, what is in the pipe goes on as it is: better twice, or without a time, than not at all.
    pub fn recover(number: u32, chunk: Chunk, book: Arc<Book>) -> Hand {
        let unknown = HandRecord { stream: NOBODY, phase: Phase::Moving };
        let mut record = book.hand(number).unwrap_or_else(|why| unread(number, &why, None)).unwrap_or(unknown);
        let mut text = Vec::new();
        if let Phase::Writing { len, .. } = record.phase {
            match book.text(number, len) {
                Ok(read) => text = read,
                Err(why) => record.phase = unread(number, &why, Phase::Moving),
            }
        }
        Hand { number, chunk, book, record, text, written: 0 }
    }

    /// Its number: by that its pipe and its record are found again.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its pipe.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Whose bytes are in it.
    pub fn stream(&self) -> StreamId {
        self.record.stream
    }

    /// Whether there is nothing in it and nothing under way.
    pub fn is_empty(&self) -> bool {
        self.record.phase == Phase::Moving && self.chunk.len() == 0
    }

    /// Bytes of the log's writer that are in it and not in the file. `peek` is an empty pipe.
    pub fn missing(&self, peek: &mut Chunk) -> u64 {
        let there = self.chunk.len();
        let missing = match self.record.phase {
            Phase::Consuming | Phase::Dropping { .. } => 0,
            Phase::Writing { consume, .. } if consume > 0 && self.written > 0 => {
                let mut bytes = Vec::new();
                // For want of memory: then all are counted.
                let seen = self.chunk.peek(peek, &mut bytes);
                seen.map_or(there, |()| stamp::not_in(&bytes, &self.text, self.written))
            }
            Phase::Moving | Phase::Writing { .. } => there,
        };
        missing as u64
    }

    /// Makes it this log's. It is empty.
    pub fn give_to(&mut self, stream: StreamId) {
        if self.record.stream != stream {
            self.record = HandRecord { stream, phase: Phase::Moving };
            self.note();
        }
    }

    /// The pipe, to be filled.
    pub fn chunk_mut(&mut self) -> &mut Chunk {
        &mut self.chunk
    }

    /// Room for a text to be begun: empty, and as large as the last one was.
    pub fn blank(&mut self) -> Vec<u8> {
        self.text.clear();
        std::mem::take(&mut self.text)
    }

    /// Begins to write a text that stands for `consume` bytes of the pipe, or for drops up to `marked`.
    pub fn begin_text(&mut self, text: Vec<u8>, offset: u64, consume: usize, marked: u64) {
        let (len, consume) = (text.len() as u64, consume as u64);
        self.book.note(self.book.set_text(self.number, &text));
        (self.text, self.written) = (text, 0);
        self.set_phase(Phase::Writing { offset, len, consume, marked });
    }

    /// After a restart: sees how much of the text is in the file.
    pub fn find_place(&mut self, log: &LogFile) {
        if let Phase::Writing { offset, len, .. } = self.record.phase {
            let written = log.offset().saturating_sub(offset).min(len);
            self.written = usize::try_from(written).unwrap_or(usize::MAX).min(self.text.len());
        }
    }

    /// The drops that are told by the text that was begun, if it is a marker: in bytes since the log was opened. Else 0.
    pub fn tells(&self) -> u64 {
        match self.record.phase {
            Phase::Writing { marked, .. } => marked,
            _ => 0,
        }
    }

    /// Goes on with the text that was begun, if one was. If it is a marker, `told` notes the drops that it tells of before anything
    /// says that the text is done with: else a kill between the two would have them told twice.
    pub fn finish_text(&mut self, log: &mut LogFile, told: impl FnOnce(u64)) -> Result<(), Why> {
        let Phase::Writing { consume, marked, .. } = self.record.phase else { return Ok(()) };
        if let Err(error) = log.append(&self.text[self.written..]) {
            self.written += error.written;
            return Err(error.source.to_string());
        }
        self.text.clear();
        if marked > 0 {
            told(marked);
        }
        if consume > 0 {
            self.set_phase(Phase::Consuming);
            self.finish_consuming();
        } else {
            self.set_phase(Phase::Moving);
        }
        Ok(())
    }

    /// Empties the pipe of what stands in the file in other words.
    pub fn finish_consuming(&mut self) {
        if self.record.phase == Phase::Consuming {
            self.chunk.discard();
            self.set_phase(Phase::Moving);
        }
    }

    /// Moves what is in the pipe into the file as it is.
    pub fn finish_moving(&mut self, log: &mut LogFile, scratch: &mut Scratch) -> Result<(), Why> {
        let len = self.chunk.len();
        if len == 0 {
            return Ok(());
        }
        match log.append_from_pipe(self.chunk.reader(), len, scratch) {
            Ok(()) => {
                self.chunk.took(len);
                Ok(())
            }
            Err(error) => {
                self.chunk.took(error.written);
                Err(error.source.to_string())
            }
        }
    }

    /// What is in it, or comes into it next, is about to be thrown away: bytes of a log whose account says `dropped` before that.
    /// `bytes` is how many it is to count for what is in it; 0: as many as there are.
    pub fn begin_dropping(&mut self, stream: StreamId, dropped: u64, bytes: u64) {
        self.record = HandRecord { stream, phase: Phase::Dropping { dropped, bytes } };
        self.note();
    }

    /// Throws away what is in it, into `null`. It is counted.
    pub fn finish_dropping(&mut self, null: BorrowedFd<'_>) {
        self.chunk.discard_into(null);
    }

    /// What it was throwing away when the daemon was killed: what the log's account said before, and the bytes to be counted.
    pub fn dropping(&self) -> Option<(u64, u64)> {
        match self.record.phase {
            Phase::Dropping { dropped, bytes: 0 } => Some((dropped, self.chunk.len() as u64)),
            Phase::Dropping { dropped, bytes } => Some((dropped, bytes)),
            _ => None,
        }
    }

    /// Gives up what is in it.
    pub fn abandon(&mut self) {
        self.text.clear();
        self.chunk.discard();
        self.set_phase(Phase::Moving);
    }

    fn set_phase(&mut self, phase: Phase) {
        self.record.phase = phase;
        self.note();
    }

    fn note(&self) {
        self.book.note(self.book.set_hand(self.number, self.record));
    }
}

fn unread<T>(number: u32, why: &io::Error, instead: T) -> T {
    tracing::warn!("what the last daemon was writing from hand {number} cannot be read: {why}");
    instead
}
