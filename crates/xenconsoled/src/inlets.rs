//! The logs that the daemon fills itself: which file each has, from when on it can be filled, and what is done while it cannot be opened.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logproto::{LogPath, PipePath, Policy, Refusal, Request, RootPath, Rules, Stamp};

use crate::inlet::Inlet;
use crate::key::{LogKey, Own};
use crate::logs::{Conflict, Logs, StreamId};
use crate::said::Said;

/// How soon a log is tried again that could not be opened.
const AGAIN: Duration = Duration::from_secs(5);
/// What a log begins with that has the time before each line, as with stock (tools/console/daemon/io.c, `create_domain_log`).
const OPENED: &[u8] = b"Logfile Opened\n";
/// How long whoever fills a log that is being opened holds back with it: see [`Inlets::is_ready`].
const OPENING: Duration = Duration::from_millis(200);

/// How the daemon's own logs are kept.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Their directory.
    pub dir: RootPath,
    /// The most bytes of a file.
    pub limit: u64,
    /// How many rotated copies there are.
    pub copies: u32,
}

/// A log that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file's name in their directory.
    pub file: String,
    /// Another, for when somebody has the first.
    pub other: String,
    /// Whether lines get the time.
    pub stamp: Stamp,
    /// What is done when the log cannot be written fast enough.
    pub policy: Policy,
}

#[derive(Debug)]
struct Log {
    wanted: Wanted,
    /// Whether it has to have the other name.
    is_other: bool,
    state: State,
    inlet: Option<Inlet>,
    /// Its FIFO, if this daemon made it.
    pipe: Option<PathBuf>,
    /// What could not even go into a FIFO: there was none.
    lost: u64,
    /// When it was first wanted.
    since: Instant,
    /// Why it cannot be opened.
    said: Said,
}

impl Log {
    fn new(wanted: Wanted, is_other: bool, state: State, now: Instant) -> Log {
        Log { wanted, is_other, state, inlet: None, pipe: None, lost: 0, since: now, said: Said::default() }
    }

    /// It cannot be opened now.
    fn put_off(&mut self, why: &str, now: Instant) {
        self.state = State::Waiting(now + AGAIN);
        if self.said.is_news(why) {
            tracing::warn!("{why}; trying again");
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Not asked for yet, or not again; at that time it is.
    Waiting(Instant),
    /// Whether this one is still there has to be known first.
    Doubting(Own),
    Opening(StreamId),
    Ready(StreamId),
}

/// All of them.
#[derive(Debug)]
pub struct Inlets {
    keeping: Keeping,
    rules: Rules,
    /// Whether their directory is not below the log directory.
    is_apart: bool,
    logs: BTreeMap<Own, Log>,
    /// The ends of logs that are wanted no more and are not open yet: without them what is in their pipes would be gone.
    leaving: BTreeMap<StreamId, Inlet>,
    /// When one of them is to be seen to.
    due: Option<Instant>,
}

impl Inlets {
    /// None yet.
    pub fn new(keeping: Keeping, rules: Rules, is_apart: bool) -> Inlets {
        Inlets { keeping, rules, is_apart, logs: BTreeMap::new(), leaving: BTreeMap::new(), due: None }
    }

    /// How they are kept.
    pub fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    /// This log is wanted, in this way. One that is there under another name comes to its end.
    pub fn want(&mut self, own: Own, wanted: Wanted, logs: &mut Logs, now: Instant) {
        if self.logs.get(&own).is_some_and(|log| log.wanted == wanted) {
            return;
        }
        self.end(own, logs);
        if let Some((stream, request)) = logs.own(own) {
            // An earlier daemon's. With the same file it goes on.
            let names = [(&wanted.file, false), (&wanted.other, true)];
            let found = names.into_iter().find(|(name, _)| self.path(name).as_ref() == Some(&request.file));
            if let Some((_, is_other)) = found {
                let (Keeping { limit, copies, .. }, Wanted { policy, stamp, .. }) = (&self.keeping, &wanted);
                let (limit, copies, policy, stamp) = (*limit, *copies, *policy, *stamp);
                // In the manner that this daemon was told to.
                logs.adjust_own(own, Request { limit, copies, policy, stamp, ..request.clone() });
                self.logs.insert(own, Log::new(wanted, is_other, State::Ready(stream), now));
                return;
            }
            logs.end_own(own);
        }
        self.logs.insert(own, Log::new(wanted, false, State::Waiting(now), now));
        self.due = Some(now);
    }

    /// A log that an earlier daemon filled, whose pipe this is. Where that cannot be opened again it gets another.
    pub fn resume(&mut self, own: Own, pipe: impl AsFd, logs: &mut Logs, now: Instant) {
        if let Some(log) = self.logs.get_mut(&own).filter(|log| log.inlet.is_none()) {
            match Inlet::of(pipe) {
                Ok(inlet) => log.inlet = Some(inlet),
                Err(why) => {
                    logs.end_own(own);
                    log.put_off(&format!("{}: its pipe cannot be opened again: {why}", LogKey::Own(own)), now);
                    self.see_to(now + AGAIN);
                }
            }
        }
    }

    /// This log is wanted no more.
    pub fn end(&mut self, own: Own, logs: &mut Logs) {
        let Some(Log { state, inlet, pipe, lost, .. }) = self.logs.remove(&own) else { return };
        logs.end_own(own);
        match (state, inlet, pipe) {
            (State::Opening(stream), Some(inlet), _) => drop(self.leaving.insert(stream, inlet)),
            (State::Waiting(_) | State::Doubting(_), Some(inlet), Some(pipe)) => {
                never_opened(own, inlet.waiting() + inlet.missed().0);
                let _ = std::fs::remove_file(pipe);
            }
            (_, None, _) if lost > 0 => never_opened(own, lost),
            _ => {}
        }
    }

    /// Asks for the logs that are due. Answers with those of which it has to be known whether they are still there: see
    /// [`Inlets::is_there`].
    pub fn process(&mut self, logs: &mut Logs, now: Instant) -> Vec<Own> {
        let mut doubts = Vec::new();
        if self.due.is_none_or(|due| due > now) {
            return doubts;
        }
        let is_due = |(_, log): &(&Own, &Log)| matches!(log.state, State::Waiting(at) if at <= now);
        let due: Vec<Own> = self.logs.iter().filter(is_due).map(|(own, _)| *own).collect();
        for own in due {
            doubts.extend(self.open(own, logs, now));
        }
        let next = self.logs.values().flat_map(|log| {
            // Whoever fills it may be holding back until then, whatever it waits for itself.
            let held = !matches!(log.state, State::Ready(_)) && log.since + OPENING > now;
            let again = if let State::Waiting(at) = log.state { Some(at) } else { None };
            [held.then_some(log.since + OPENING), again]
        });
        self.due = next.flatten().min();
        doubts
    }

    /// When [`Inlets::process`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Where a log that an earlier daemon wrote as `file` goes on: in the directory that they have now.
    pub fn place(&self, file: &LogPath) -> LogPath {
        file.name().to_str().and_then(|name| self.path(name)).unwrap_or_else(|| file.clone())
    }

    fn path(&self, name: &str) -> Option<LogPath> {
        let root = if self.is_apart { &self.keeping.dir } else { &self.rules.log };
        LogPath::new(self.keeping.dir.path().join(name).as_os_str().as_encoded_bytes(), root).ok()
    }

    fn open(&mut self, own: Own, logs: &mut Logs, now: Instant) -> Option<Own> {
        let log = self.logs.get(&own)?;
        let name = if log.is_other { &log.wanted.other } else { &log.wanted.file };
        let fresh = || self.rules.run.path().join(format!("xenlog-{}-{}", own.name(), logs.next_stream().0));
        let path = log.pipe.clone().unwrap_or_else(fresh);
        let asked = self.request(name, &log.wanted, &path);
        let log = self.logs.get_mut(&own)?;
        let made = asked.and_then(|request| {
            if log.inlet.is_none() {
                let made = Inlet::make(&path);
                let mut inlet = made.map_err(|why| format!("cannot make {}: {why}", path.display()))?;
                if log.wanted.stamp == Stamp::Line {
                    // A new pipe has room.
                    inlet.try_write(OPENED);
                }
                inlet.miss(std::mem::take(&mut log.lost));
                (log.inlet, log.pipe) = (Some(inlet), Some(path));
            }
            Ok(request)
        });
        let request = match made {
            Ok(request) => request,
            Err(why) => {
                log.put_off(&format!("{}: {why}", LogKey::Own(own)), now);
                return None;
            }
        };
        let shown = request.file.to_string();
        match logs.open_own(own, request) {
            Ok(stream) => {
                log.state = State::Opening(stream);
                None
            }
            Err(Conflict::Ending) => {
                log.state = State::Waiting(now + AGAIN);
                None
            }
            Err(Conflict::Own(holder)) if !log.is_other => {
                log.state = State::Doubting(holder);
                Some(holder)
            }
            Err(Conflict::Entry(_)) if !log.is_other => {
                log.is_other = true;
                self.open(own, logs, now)
            }
            Err(Conflict::Own(_) | Conflict::Entry(_)) => {
                log.put_off(&format!("{}: {shown} is another log's file", LogKey::Own(own)), now);
                None
            }
        }
    }

    fn request(&self, name: &str, wanted: &Wanted, path: &Path) -> Result<Request, String> {
        let file = self.path(name).ok_or_else(|| format!("\"{name}\" is no name for its file"))?;
        let pipe = PipePath::new(path.as_os_str().as_encoded_bytes(), &self.rules.run);
        let pipe = pipe.map_err(|why| format!("{} {why}", path.display()))?;
        let (Keeping { limit, copies, .. }, Wanted { stamp, policy, .. }) = (&self.keeping, wanted);
        Ok(Request { pipe, file, limit: *limit, copies: *copies, policy: *policy, stamp: *stamp })
    }

    /// A log is there and may be filled. True if one of these waited for that.
    pub fn opened(&mut self, own: Own, stream: StreamId) -> bool {
        self.leaving.remove(&stream);
        let Some(log) = self.logs.get_mut(&own).filter(|log| log.state == State::Opening(stream)) else { return false };
        log.state = State::Ready(stream);
        log.said.is_over();
        true
    }

    /// A log could not be opened.
    pub fn refused(&mut self, own: Own, stream: StreamId, refusal: &Refusal, now: Instant) {
        if let Some(inlet) = self.leaving.remove(&stream) {
            never_opened(own, inlet.waiting() + inlet.missed().0);
        }
        let Some(log) = self.logs.get_mut(&own).filter(|log| log.state == State::Opening(stream)) else { return };
        // What is in its pipe waits for the next one, which has the same pipe.
        log.put_off(&refusal.to_string(), now);
        self.see_to(now + AGAIN);
    }

    fn see_to(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Some log has come to its end: its file may be what another waits for.
    pub fn ended(&mut self, now: Instant) {
        for log in self.logs.values_mut() {
            if matches!(log.state, State::Waiting(_) | State::Doubting(_)) {
                log.state = State::Waiting(now);
                self.due = Some(now);
            }
        }
    }

    /// This one was looked at, and its domain is there: whoever wants its file has to take another.
    pub fn is_there(&mut self, holder: Own, now: Instant) {
        for log in self.logs.values_mut().filter(|log| log.state == State::Doubting(holder)) {
            log.is_other = true;
            log.state = State::Waiting(now);
            self.due = Some(now);
        }
    }

    /// All files are opened again by their names.
    pub fn reopened(&mut self) {
        for log in self.logs.values_mut().filter(|log| log.wanted.stamp == Stamp::Line) {
            if let Some(inlet) = &mut log.inlet {
                inlet.write(OPENED, || ());
            }
        }
    }

    /// Whether this log may be filled. For a moment it may not: until it is open, a daemon that is killed leaves what is in its pipe to
    /// nobody. But nobody waits long for a file that cannot be opened.
    pub fn is_ready(&self, own: Own, now: Instant) -> bool {
        self.logs.get(&own).is_none_or(|log| matches!(log.state, State::Ready(_)) || log.since + OPENING <= now)
    }

    /// Writes into this log, if there is one. `make_room` may drop and count what is in its pipe.
    pub fn write(&mut self, own: Own, bytes: &[u8], make_room: impl FnOnce(StreamId)) {
        let Some(log) = self.logs.get_mut(&own) else { return };
        let Some(inlet) = &mut log.inlet else {
            log.lost += bytes.len() as u64;
            return;
        };
        let stream = match log.state {
            State::Ready(stream) => Some(stream),
            _ => None,
        };
        inlet.write(bytes, || {
            if let Some(stream) = stream {
                make_room(stream);
            }
        });
    }

    /// Writes into this log, if that goes whole and without dropping anything.
    pub fn try_write(&mut self, own: Own, bytes: &[u8]) -> bool {
        let inlet = self.logs.get_mut(&own).and_then(|log| log.inlet.as_mut());
        inlet.is_some_and(|inlet| inlet.try_write(bytes))
    }

    /// The number of this log, if it is open, its file, and what never went into its pipe: bytes and gaps.
    pub fn account(&self, own: Own) -> Option<(Option<StreamId>, PathBuf, (u64, u64))> {
        let log = self.logs.get(&own)?;
        let stream = match log.state {
            State::Ready(stream) => Some(stream),
            _ => None,
        };
        let name = if log.is_other { &log.wanted.other } else { &log.wanted.file };
        let missed = log.inlet.as_ref().map_or((log.lost, u64::from(log.lost > 0)), Inlet::missed);
        Some((stream, self.keeping.dir.path().join(name), missed))
    }

    /// All that are wanted.
    pub fn wanted(&self) -> impl Iterator<Item = Own> {
        self.logs.keys().copied()
    }
}

/// A log is given up that was never open.
fn never_opened(own: Own, lost: u64) {
    tracing::warn!("{}: it never could be opened; {lost} bytes are lost", LogKey::Own(own));
}

#[cfg(test)]
#[path = "inlets_tests.rs"]
mod tests;
