//! One log while it is served: a pipe that ends in a rotating file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use logfile::{Listings, LogFile, Scratch};
use logproto::{EntryKey, PipePath, Policy, Request, Stamp};
use rustix::io::Errno;

use crate::chunk::Chunk;
use crate::gap::Gap;
use crate::logs::FifoId;
use crate::stamp::{self, Stamper};

/// How often the names of a busy log's file are looked at, to notice what others do to it.
const CHECK: Duration = Duration::from_secs(1);
/// The wait after a write failed, doubled with each failure up to the largest.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long a log with policy `drop` waits for its disk before it drops.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes moved; there may be more.
    Moved(usize),
    /// There is nothing in the pipe.
    Empty,
    /// There is nothing in the pipe and nobody has it open for writing.
    Ended,
    /// The file cannot be written now: see [`Stream::retry_at`].
    Stuck,
}

/// Buffers that all streams of a writer share.
pub struct Buffers {
    /// The private pipe.
    pub chunk: Chunk,
    /// For looking at what is in it.
    pub scratch: Scratch,
    read: Vec<u8>,
    stamped: Vec<u8>,
}

impl Buffers {
    /// Empty ones.
    pub fn new() -> std::io::Result<Buffers> {
        let scratch = Scratch::new().map_err(std::io::Error::other)?;
        Ok(Buffers { chunk: Chunk::new()?, scratch, read: Vec::new(), stamped: Vec::new() })
    }
}

/// What was taken from the pipe and could not be written.
#[derive(Debug)]
enum Held {
    Pipe(Chunk),
    Bytes(Vec<u8>),
    Nothing,
}

#[derive(Debug)]
struct Trouble {
    held: Held,
    since: Instant,
    retry: Instant,
    wait: Duration,
    why: String,
}

/// A log that is being served.
#[derive(Debug)]
pub struct Stream {
    key: EntryKey,
    pipe: OwnedFd,
    /// The pipe's name, for the end.
    pub pipe_path: PipePath,
    /// Which FIFO the pipe is.
    pub fifo: FifoId,
    log: LogFile,
    stamper: Option<Stamper>,
    policy: Policy,
    trouble: Option<Box<Trouble>>,
    gap: Option<Box<Gap>>,
    checked: Instant,
}

impl Stream {
    /// A stream of what was opened.
    pub fn new(key: EntryKey, pipe: OwnedFd, fifo: FifoId, log: LogFile, request: &Request, now: Instant) -> Stream {
        let (pipe_path, policy, stamper) = (request.pipe.clone(), request.policy, stamper(request, None));
        Stream { key, pipe, pipe_path, fifo, log, stamper, policy, trouble: None, gap: None, checked: now }
    }

    /// Whose log it is.
    pub fn key(&self) -> &EntryKey {
        &self.key
    }

    /// The pipe, for the event loop.
    pub fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Takes up what an entry says of how to write.
    pub fn set(&mut self, request: &Request) -> Result<(), logfile::Error> {
        self.policy = request.policy;
        self.stamper = stamper(request, self.stamper.take());
        self.log.set_bounds(logfile::Bounds { limit: request.limit, copies: request.copies })
    }

    /// Opens the file again by its name.
    pub fn reopen(&mut self, listings: &mut Listings) -> Result<(), logfile::Error> {
        self.log.reopen_with(listings)
    }

    /// When a log in trouble wants to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry)
    }

    /// Moves what the pipe holds now, up to one chunk, into the file.
    pub fn turn(&mut self, buffers: &mut Buffers, now: Instant) -> Turn {
        if self.trouble.is_some() {
            return Turn::Stuck;
        }
        let taken = match buffers.chunk.fill(self.pipe.as_fd()) {
            Ok(0) => return Turn::Ended,
            Ok(taken) => taken,
            Err(Errno::AGAIN) => return Turn::Empty,
            Err(why) => {
                // splice(2) from a pipe to a pipe has no other error that a program without bugs could meet but ENOMEM.
                tracing::error!("{}: cannot read its pipe: {why}", self.key);
                return Turn::Empty;
            }
        };
        if now.duration_since(self.checked) >= CHECK {
            self.checked = now;
            // A failure shows at the write that follows.
            let _ = self.log.check();
        }
        match self.write(buffers) {
            Ok(()) => Turn::Moved(taken),
            Err((held, why)) => {
                self.in_trouble(held, why, now);
                Turn::Stuck
            }
        }
    }

    /// Tries again to write what is held. True when the stream is well again.
    pub fn retry(&mut self, buffers: &mut Buffers, now: Instant) -> bool {
        let Some(mut trouble) = self.trouble.take() else { return true };
        match self.write_held(std::mem::replace(&mut trouble.held, Held::Nothing), buffers) {
            Ok(()) => {
                let seconds = now.duration_since(trouble.since).as_secs();
                tracing::warn!("{}: its file can be written again, after {seconds} s", self.key);
                true
            }
            Err((held, why)) => {
                (trouble.held, trouble.why) = (held, why);
                trouble.wait = (trouble.wait * 2).min(RETRY_MAX);
                trouble.retry = now + trouble.wait;
                let overdue = now.duration_since(trouble.since) >= PATIENCE;
                self.trouble = Some(trouble);
                if self.policy == Policy::Drop && overdue {
                    self.drop_all(buffers);
                }
                false
            }
        }
    }

    /// Gives up what could not be written, and counts it. For the end of a log.
    pub fn give_up(&mut self, buffers: &mut Buffers) {
        if self.trouble.is_some() {
            self.drop_all(buffers);
        }
        if let Some(gap) = self.gap.take() {
            tracing::warn!("{}: {} bytes at its end could not be written: {}", self.key, gap.bytes(), gap.why());
        }
    }

    fn in_trouble(&mut self, held: Held, why: String, now: Instant) {
        tracing::warn!("{}: its file cannot be written: {why}; trying again", self.key);
        let trouble = Trouble { held, since: now, retry: now + RETRY_MIN, wait: RETRY_MIN, why };
        self.trouble = Some(Box::new(trouble));
    }

    /// Writes the chunk. What is left of it on failure comes back.
    fn write(&mut self, buffers: &mut Buffers) -> Result<(), (Held, String)> {
        if let Err(why) = self.mark_gap() {
            return Err((take_chunk(buffers), why));
        }
        let Some(stamper) = &mut self.stamper else { return self.write_chunk(buffers) };
        buffers.read.clear();
        buffers.stamped.clear();
        if let Err(why) = buffers.chunk.read_all(&mut buffers.read) {
            return Err((take_chunk(buffers), why.to_string()));
        }
        stamper.stamp(&buffers.read, &stamp::text(SystemTime::now()), &mut buffers.stamped);
        self.log
            .append(&buffers.stamped)
            .map_err(|error| (Held::Bytes(buffers.stamped[error.written..].to_vec()), error.source.to_string()))
    }

    fn write_chunk(&mut self, buffers: &mut Buffers) -> Result<(), (Held, String)> {
        let len = buffers.chunk.len();
        match self.log.append_from_pipe(buffers.chunk.reader(), len, &mut buffers.scratch) {
            Ok(()) => {
                buffers.chunk.took(len);
                Ok(())
            }
            Err(error) => {
                buffers.chunk.took(error.written);
                Err((take_chunk(buffers), error.source.to_string()))
            }
        }
    }

    fn write_held(&mut self, held: Held, buffers: &mut Buffers) -> Result<(), (Held, String)> {
        if let Err(why) = self.mark_gap() {
            return Err((held, why));
        }
        match held {
            Held::Nothing => Ok(()),
            Held::Bytes(mut bytes) => self.log.append(&bytes).map_err(|error| {
                bytes.drain(..error.written);
                (Held::Bytes(bytes), error.source.to_string())
            }),
            Held::Pipe(mut chunk) => {
                let len = chunk.len();
                self.log.append_from_pipe(chunk.reader(), len, &mut buffers.scratch).map_err(|error| {
                    chunk.took(error.written);
                    (Held::Pipe(chunk), error.source.to_string())
                })
            }
        }
    }

    /// Says in the log what is missing from it, before anything else is written.
    fn mark_gap(&mut self) -> Result<(), String> {
        let Some(gap) = &mut self.gap else { return Ok(()) };
        let mid_line = !self.log.is_at_line_start().map_err(|why| why.to_string())?;
        let text = gap.marker(mid_line);
        self.log.append(text.as_bytes()).map_err(|error| {
            gap.marked(error.written);
            error.source.to_string()
        })?;
        self.gap = self.gap.take().and_then(|gap| gap.rest()).map(Box::new);
        if let Some(stamper) = &mut self.stamper {
            *stamper = Stamper::default();
        }
        Ok(())
    }

    /// Drops what is held and what is in the pipe now, and counts it.
    fn drop_all(&mut self, buffers: &mut Buffers) {
        let Some(trouble) = &mut self.trouble else { return };
        let mut bytes = match std::mem::replace(&mut trouble.held, Held::Nothing) {
            Held::Nothing => 0,
            Held::Bytes(bytes) => bytes.len(),
            Held::Pipe(chunk) => chunk.len(),
        };
        // Not more than was there at first: a writer that never stops must not hold the writer of all logs.
        let mut there = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0);
        buffers.read.resize(64 << 10, 0);
        while there > 0 {
            let most = buffers.read.len().min(usize::try_from(there).unwrap_or(usize::MAX));
            match rustix::io::read(&self.pipe, &mut buffers.read[..most]) {
                Ok(read) if read > 0 => (bytes, there) = (bytes + read, there - read as u64),
                _ => break,
            }
        }
        if bytes > 0 {
            let why = trouble.why.clone();
            self.gap.get_or_insert_with(|| Box::new(Gap::new(SystemTime::now(), why))).add(bytes, SystemTime::now());
        }
    }
}

/// What puts the time before lines, if that is asked for: the one that is at it, so that no line gets it twice.
fn stamper(request: &Request, current: Option<Stamper>) -> Option<Stamper> {
    match request.stamp {
        Stamp::None => None,
        Stamp::Line => Some(current.unwrap_or_default()),
    }
}

/// Takes the chunk out of the shared buffers, since what is in it belongs to one log. Without a new pipe to put in its place
/// the bytes are taken into memory.
fn take_chunk(buffers: &mut Buffers) -> Held {
    match Chunk::new() {
        Ok(fresh) => Held::Pipe(std::mem::replace(&mut buffers.chunk, fresh)),
        Err(_) => {
            let mut bytes = Vec::new();
            // Reading one's own pipe of which the content is known cannot fail.
            let _ = buffers.chunk.read_all(&mut bytes);
            Held::Bytes(bytes)
        }
    }
}
