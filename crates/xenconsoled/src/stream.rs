//! One log while it is served, on the writer's side: what is taken from its pipe goes into its file.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use logfile::{Bounds, Scratch};
use logproto::{PipePath, Request, Stamp};

use crate::chunk::{Chunk, ROOM};
use crate::file::{File, LogDirs, LogFile};
use crate::gap::Gap;
use crate::hand::{Hand, Why};
use crate::key::LogKey;
use crate::logs::StreamId;
use crate::source::{Source, Take};
use crate::stamp::{self, Stamper};
use crate::writer::WHOLE;

/// The wait after a write failed, doubled with each failure up to the largest.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// While some log cannot be written, others are taken from in small bites: each may turn out to be unwritable too, and what
/// it then holds is kernel memory.
const BITE: usize = 4096;
/// Lines with the time can be many times as long as without: less is taken at once.
const STAMPED: usize = 16 << 10;

/// What is said of a gap that a log made itself.
const OVER_BUDGET: &str = "over its budget";
/// How soon a pipe is tried again that could not be read, and what is said of a gap that comes of it.
const READ_AGAIN: Duration = Duration::from_secs(1);
const UNREADABLE: &str = "its pipe cannot be read";
/// That one log's file cannot be written is said so often in so long, and no more: a disk that is all but full may change its mind
/// many times a second.
const SAID_MOST: u32 = 6;
const QUIET: Duration = Duration::from_secs(10);

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something moved.
    Moved {
        /// So many bytes.
        bytes: usize,
        /// Whether that was all that one turn may move: then there may be more.
        is_most: bool,
    },
    /// There is nothing in the pipe.
    Empty,
    /// There is nothing in the pipe and nobody has it open for writing.
    Ended,
    /// There is no hand to take anything with.
    EmptyHanded,
    /// Nothing can be taken before then, and why: it has had its share, or its pipe cannot be read.
    Paused(Instant, &'static str),
    /// The file cannot be written now: see [`Stream::retry_at`].
    Stuck,
}

/// What all streams of a writer share.
#[derive(Debug)]
pub struct Desk {
    /// Empty hands. Whoever takes bytes takes one, and keeps it while its file cannot be written.
    pub hands: Vec<Hand>,
    /// The log directories.
    pub dirs: LogDirs,
    /// Whether to take small bites only.
    pub careful: bool,
    scratch: Scratch,
    peek: Chunk,
    read: Vec<u8>,
    time: String,
}

impl Desk {
    /// A desk without hands.
    pub fn new(dirs: LogDirs) -> std::io::Result<Desk> {
        let scratch = Scratch::new().map_err(std::io::Error::other)?;
        Ok(Desk {
            hands: Vec::new(),
            dirs,
            careful: false,
            scratch,
            peek: Chunk::new()?,
            read: Vec::new(),
            time: String::new(),
        })
    }
}

#[derive(Debug)]
struct Trouble {
    /// What was taken and is not in the file.
    hand: Option<Hand>,
    since: Instant,
    retry: Instant,
    wait: Duration,
    /// The daemon's log has it: so it has to say when it is over.
    is_said: bool,
}

/// A log that is being served.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    key: LogKey,
    source: Arc<Source>,
    pipe_path: PipePath,
    file: File,
    stamper: Option<Stamper>,
    trouble: Option<Box<Trouble>>,
    /// How often it was said that the file cannot be written, and since when.
    said: Option<(Instant, u32)>,
    /// The room of its pipe in bytes, and whether more was asked for.
    room: usize,
    has_asked: bool,
}

impl Stream {
    /// A stream of what was opened.
    pub fn new(id: StreamId, key: LogKey, source: Arc<Source>, request: &Request, file: File) -> Stream {
        let pipe_path = request.pipe.clone();
        let room = source.room();
        let (stamper, trouble, said, has_asked) = (None, None, None, false);
        let mut stream = Stream { id, key, source, pipe_path, file, stamper, trouble, said, room, has_asked };
        stream.set_stamp(request.stamp);
        stream
    }

    /// What a killed daemon had in hand for this log comes first.
    pub fn recover(&mut self, hand: Hand, now: Instant) {
        let trouble = Trouble { hand: Some(hand), since: now, retry: now, wait: RETRY_MIN, is_said: false };
        self.trouble = Some(Box::new(trouble));
    }

    /// Whose log it is.
    pub fn key(&self) -> &LogKey {
        &self.key
    }

    /// Its pipe.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The pipe's name.
    pub fn pipe_path(&self) -> &PipePath {
        &self.pipe_path
    }

    /// Takes up what an entry says of how to write.
    pub fn set(&mut self, request: &Request) -> Result<(), logfile::Error> {
        self.source.set_policy(request.policy);
        self.set_stamp(request.stamp);
        self.file.set_bounds(Bounds { limit: request.limit, copies: request.copies })
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamper = match stamp {
            Stamp::None => None,
            Stamp::Line => Some(self.stamper.take().unwrap_or_default()),
        };
    }

    /// Opens the file again by its name.
    pub fn reopen(&mut self, desk: &mut Desk) -> Result<(), logfile::Error> {
        self.file.reopen(desk.dirs.of(&self.key))
    }

    /// When a log in trouble wants to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry)
    }

    /// Moves what the pipe holds now, up to one chunk, into the file.
    pub fn turn(&mut self, desk: &mut Desk, now: Instant) -> Turn {
        if self.trouble.is_some() {
            return Turn::Stuck;
        }
        let Some(mut hand) = desk.hands.pop() else { return Turn::EmptyHanded };
        let turn = self.turn_with(&mut hand, desk, now);
        match turn {
            Ok(turn) => {
                desk.hands.push(hand);
                turn
            }
            Err(why) => {
                self.file.suspect(desk.dirs.of(&self.key));
                if hand.is_empty() {
                    desk.hands.push(hand);
                    self.in_trouble(None, &why, now)
                } else {
                    self.in_trouble(Some(hand), &why, now)
                }
            }
        }
    }

    fn turn_with(&mut self, hand: &mut Hand, desk: &mut Desk, now: Instant) -> Result<Turn, Why> {
        // A file that cannot even be opened leaves everything in the pipe.
        self.file.log(desk.dirs.of(&self.key), now).map_err(|why| why.to_string())?;
        hand.give_to(self.id);
        let most = match &self.stamper {
            _ if desk.careful => BITE,
            Some(_) => STAMPED,
            None => ROOM,
        };
        let mut has_told = false;
        loop {
            match self.source.take(hand.chunk_mut(), most, now) {
                Take::Gap(gap, _) if has_told => {
                    // More was dropped while that was told. On a disk that is slow it would go on for ever: others first.
                    self.source.put_back(gap);
                    return Ok(Turn::Moved { bytes: 0, is_most: true });
                }
                Take::Gap(gap, marked) => {
                    has_told = true;
                    let (bytes, why) = (gap.bytes, gap.why.clone());
                    self.begin_marker(gap, marked, hand, desk, now)?;
                    self.finish(hand, desk, now)?;
                    if self.may_say(now) {
                        tracing::warn!("{}: {bytes} bytes were dropped: {why}", self.key);
                    }
                }
                Take::Bytes(bytes) => {
                    self.finish(hand, desk, now)?;
                    return Ok(Turn::Moved { bytes, is_most: bytes >= most });
                }
                Take::Empty => return Ok(Turn::Empty),
                Take::Ended => return Ok(Turn::Ended),
                Take::OverBudget(until) => return Ok(Turn::Paused(until, OVER_BUDGET)),
                Take::Failed(why) => {
                    // splice(2) from a pipe to a pipe has no other error that a program without bugs could meet but ENOMEM. The
                    // pipe still says that it can be read: to ask again at once would go on for ever.
                    tracing::error!("{}: its pipe cannot be read: {why}; trying again", self.key);
                    return Ok(Turn::Paused(now + READ_AGAIN, UNREADABLE));
                }
            }
        }
    }

    /// Which share of its pipe's room so many bytes were, in parts of [`WHOLE`]; at least one. Where they were a quarter of it, the pipe
    /// is made as large as what one turn can take: the fewer moves there are, the cheaper they are.
    pub fn share(&mut self, bytes: usize) -> u32 {
        let share = bytes as u64 * u64::from(WHOLE) / self.room as u64;
        if !self.has_asked && bytes >= self.room / 4 {
            self.has_asked = true;
            self.room = self.source.enlarge(ROOM);
        }
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }

    /// Tries again to write what is in hand. True when the stream is well again.
    pub fn retry(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let Some(mut trouble) = self.trouble.take() else { return true };
        let written = match &mut trouble.hand {
            Some(hand) => self.place(hand, desk, now).and_then(|()| self.finish(hand, desk, now)),
            None => self.file.log(desk.dirs.of(&self.key), now).map(drop).map_err(|why| why.to_string()),
        };
        match written {
            Ok(()) => {
                desk.hands.extend(trouble.hand);
                if trouble.is_said {
                    let seconds = now.duration_since(trouble.since).as_secs();
                    tracing::warn!("{}: its file can be written again, after {seconds} s", self.key);
                }
                self.source.set_trouble(None);
                true
            }
            Err(why) => {
                self.file.suspect(desk.dirs.of(&self.key));
                if self.source.trouble().is_none() {
                    trouble.is_said = self.say_trouble(&why, now);
                }
                self.source.set_trouble(Some(&why));
                trouble.wait = (trouble.wait * 2).min(RETRY_MAX);
                trouble.retry = now + trouble.wait;
                self.trouble = Some(trouble);
                false
            }
        }
    }

    /// Gives up what could not be written, and counts it: the log is over.
    pub fn give_up(&mut self, desk: &mut Desk) {
        let Some(trouble) = self.trouble.take() else { return };
        let mut hand = trouble.hand;
        let in_hand = hand.as_mut().map_or(0, |hand| self.source.give_up(hand, &mut desk.peek));
        let lost = in_hand + self.source.waiting();
        tracing::warn!("{}: {lost} bytes at its end could not be written", self.key);
        desk.hands.extend(hand);
    }

    fn in_trouble(&mut self, hand: Option<Hand>, why: &str, now: Instant) -> Turn {
        let is_said = self.say_trouble(why, now);
        self.source.set_trouble(Some(why));
        let trouble = Trouble { hand, since: now, retry: now + RETRY_MIN, wait: RETRY_MIN, is_said };
        self.trouble = Some(Box::new(trouble));
        Turn::Stuck
    }

    /// Says so in the daemon's log, but not again and again. True if it was said.
    fn say_trouble(&mut self, why: &str, now: Instant) -> bool {
        let may_say = self.may_say(now);
        if may_say {
            tracing::warn!("{}: its file cannot be written: {why}; trying again", self.key);
        }
        may_say
    }

    /// Whether one more line about this log is not too many.
    fn may_say(&mut self, now: Instant) -> bool {
        match &mut self.said {
            Some((since, times)) if now.saturating_duration_since(*since) < QUIET => {
                *times += 1;
                *times <= SAID_MOST
            }
            said => {
                *said = Some((now, 1));
                true
            }
        }
    }

    fn begin_marker(
        &mut self,
        gap: Gap,
        marked: u64,
        hand: &mut Hand,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<(), Why> {
        let log = self.file.log(desk.dirs.of(&self.key), now);
        match log.and_then(|log| log.is_at_line_start().map(|at_start| (log.offset(), !at_start))) {
            Ok((offset, mid_line)) => {
                hand.begin_text(gap.marker(mid_line).into_bytes(), offset, 0, marked);
                Ok(())
            }
            Err(why) => {
                self.source.put_back(gap);
                Err(why.to_string())
            }
        }
    }

    /// After a restart: sees how far the hand had come. Where lines have the time, whether one starts here.
    fn place(&mut self, hand: &mut Hand, desk: &mut Desk, now: Instant) -> Result<(), Why> {
        let log = self.file.log(desk.dirs.of(&self.key), now).map_err(|why| why.to_string())?;
        hand.find_place(log);
        Ok(())
    }

    /// Finishes what the hand is at: a text that was begun, then what is in its pipe.
    fn finish(&mut self, hand: &mut Hand, desk: &mut Desk, now: Instant) -> Result<(), Why> {
        let log = self.file.log(desk.dirs.of(&self.key), now).map_err(|why| why.to_string())?;
        let (source, stamper) = (&self.source, &mut self.stamper);
        hand.finish_text(log, |marked| {
            source.set_marked(marked);
            // The marker ended the line.
            *stamper = stamper.take().map(|_| Stamper::default());
        })?;
        hand.finish_consuming();
        match &mut self.stamper {
            Some(stamper) if !hand.is_empty() => {
                stamper.settle(|| log.is_at_line_start()).map_err(|why| why.to_string())?;
                write_stamped(stamper, hand, log, desk)
            }
            _ => hand.finish_moving(log, &mut desk.scratch),
        }
    }
}

fn write_stamped(stamper: &mut Stamper, hand: &mut Hand, log: &mut LogFile, desk: &mut Desk) -> Result<(), Why> {
    let Desk { peek, read, time, .. } = desk;
    hand.chunk().peek(peek, read).map_err(|why| why.to_string())?;
    stamp::write(SystemTime::now(), time);
    let mut text = hand.blank();
    stamper.stamp(read, time, &mut text);
    let offset = log.offset();
    hand.begin_text(text, offset, read.len(), 0);
    hand.finish_text(log, |_| ())
}
