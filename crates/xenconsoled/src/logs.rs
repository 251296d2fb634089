//! What the daemon serves, held against what the store says. Decisions only: values in, [`Action`]s out.
//!
//! Level-triggered: [`Logs::seen`] is told how an entry stands now, as often as anybody likes, and answers with what has to be
//! done to get from what runs to what is asked for; nothing when they agree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use logproto::{Claims, Code, Entry, EntryKey, Owner, PipePath, Refusal, Request, Rules, State};

use crate::asked::Asked;
use crate::key::{LogKey, Own};
use crate::pack::pack;
use crate::shares::Shares;

mod own;
pub use own::Conflict;
use own::OwnLog;

/// One run of one log, from opening to end. An entry that starts over gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Which FIFO it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FifoId {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`. A file system may give the number of one that is gone to the next.
    pub ino: u64,
    /// When it was made (`stx_btime`), in nanoseconds since 1970; 0 where the file system does not tell.
    pub born: u64,
}

/// How an entry stands, as one look found it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its nodes.
    pub entry: Entry,
    /// The FIFO that its `pipe` names now, if it names one.
    pub fifo: Option<FifoId>,
    /// When the nodes were read, in the count that [`Logs::told`] uses too: what was told after that cannot be in them.
    pub began: u64,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open the file and the pipe; report [`Logs::opened`] or [`Logs::refused`].
    Open(StreamId, LogKey, Request),
    /// Go on with other bounds.
    Adjust(StreamId, Request),
    /// Read until the last writer has closed, then close; report [`Logs::ended`].
    End(StreamId, Patience),
    /// Look at this entry again: whether it still has what another asks for.
    LookAt(EntryKey),
    /// Write the answer, provided that the entry still asks for the same, and its pipe does not name another FIFO by now.
    Answer(EntryKey, Asked, Option<FifoId>, State),
    /// Write no answer to this entry any more, until there is another one.
    Withdraw(EntryKey),
    /// The client knows that its log is served. When that is over, the FIFO's name is nobody else's to remove.
    Served(StreamId),
}

/// How long the end of a log may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as somebody holds the pipe open.
    Endless,
    /// The daemon's drain time.
    Drain,
    /// What is in the pipe now, and no more: somebody waits for the file.
    None,
    /// Likewise, and the FIFO's name stays: the same FIFO is about to be opened again.
    Handover,
}

#[derive(Debug)]
struct Log {
    asked: Asked,
    stage: Stage,
    /// The FIFO that its pipe named when it was judged; when it is ready, the one that is read.
    named: Option<FifoId>,
    told: Told,
    /// The store was lost since this entry was last seen: if it is missing now, that says nothing of its log.
    unseen: bool,
}

impl Log {
    fn new(asked: Asked, named: Option<FifoId>, stage: Stage) -> Log {
        Log { asked, stage, named, told: Told::No, unseen: false }
    }

    /// Whether it reads, or is about to read, the FIFO that has this name now.
    fn reads(&self, pipe: &PipePath, named: Option<FifoId>) -> bool {
        match &self.stage {
            Stage::Opening(_, request) => request.pipe == *pipe,
            Stage::Ready(..) => named.is_some() && named == self.named,
            Stage::Waiting(..) | Stage::Refused(_) => false,
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// Another stream that is at its end still has the file or the pipe.
    Waiting(Request),
    Opening(StreamId, Request),
    Ready(StreamId, Request),
    Refused(Refusal),
}

impl Stage {
    /// Which stream it is about.
    fn stream(&self) -> Option<StreamId> {
        match self {
            Stage::Opening(stream, _) | Stage::Ready(stream, ..) => Some(*stream),
            Stage::Waiting(..) | Stage::Refused(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// The answer is not known to stand in the store.
    No,
    /// It stands there since this count.
    At(u64),
}

/// All logs, by entry.
#[derive(Debug)]
pub struct Logs {
    rules: Rules,
    logs: BTreeMap<EntryKey, Log>,
    /// Entries whose file or pipe another stream still has.
    waiting: BTreeSet<EntryKey>,
    /// Entries that have what another asks for: they may be gone from the store by now, and that only not be seen yet.
    doubted: BTreeSet<EntryKey>,
    /// The one of these that was just seen: it is there.
    confirmed: Option<EntryKey>,
    streams: BTreeMap<StreamId, LogKey>,
    shares: Shares,
    claims: Claims<StreamId>,
    /// The daemon's own logs, and who has which file where these are not in the log directory.
    own: BTreeMap<Own, OwnLog>,
    own_claims: Option<Claims<StreamId>>,
    /// Who reads the pipe of a name: of two readers each would get a part of what comes.
    pipes: BTreeMap<PipePath, StreamId>,
    /// Which FIFO a stream reads, once that is known.
    fifos: BTreeMap<StreamId, FifoId>,
    /// Streams that read on after their entry went: their files are still taken.
    ending: BTreeMap<StreamId, Request>,
    next: u64,
    actions: VecDeque<Action>,
}

impl Logs {
    /// No logs yet, and the rules for those to come.
    pub fn new(rules: Rules) -> Logs {
        Logs {
            rules,
            logs: BTreeMap::new(),
            waiting: BTreeSet::new(),
            doubted: BTreeSet::new(),
            confirmed: None,
            streams: BTreeMap::new(),
            shares: Shares::default(),
            claims: Claims::default(),
            own: BTreeMap::new(),
            own_claims: None,
            pipes: BTreeMap::new(),
            fifos: BTreeMap::new(),
            ending: BTreeMap::new(),
            next: 0,
            actions: VecDeque::new(),
        }
    }

    /// By what entries are judged.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The next thing that has to be done, in order.
    pub fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The entries of one owner that are known here.
    pub fn of_owner(&self, owner: Owner) -> impl Iterator<Item = &EntryKey> {
        let first = EntryKey { owner, name: "".into() };
        self.logs.range(first..).map(|(key, _)| key).take_while(move |key| key.owner == owner)
    }

    /// Every entry that is known here.
    pub fn entries(&self) -> impl Iterator<Item = &EntryKey> {
        self.logs.keys()
    }

    /// Every stream that is not over, and whose it is.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, &LogKey)> {
        self.streams.iter().map(|(id, key)| (*id, key))
    }

    /// Whether a stream reads this FIFO.
    pub fn has_fifo(&self, fifo: FifoId) -> bool {
        self.fifos.values().any(|held| *held == fifo)
    }

    /// How many logs are being served, and how many read on after their entry went.
    pub fn counts(&self) -> (usize, usize) {
        (self.shares.all() + self.own.len(), self.ending.len())
    }

    /// Takes no more room than it needs: see [`pack`].
    pub fn pack(&mut self) {
        pack(&mut self.logs);
        pack(&mut self.streams);
        pack(&mut self.pipes);
        pack(&mut self.fifos);
        self.claims.pack();
        self.shares.pack();
        self.actions.shrink_to_fit();
    }

    /// The connection to the store was lost: what was being answered has to be answered again.
    pub fn store_lost(&mut self) {
        for log in self.logs.values_mut() {
            (log.told, log.unseen) = (Told::No, true);
        }
    }

    /// Holds one entry, as it stands in the store, against what is served.
    pub fn seen(&mut self, key: &EntryKey, seen: &Seen) {
        self.hold(key, seen);
        if self.doubted.remove(key) {
            self.confirmed = Some(key.clone());
            self.retry_waiting();
            self.confirmed = None;
        }
    }

    fn hold(&mut self, key: &EntryKey, seen: &Seen) {
        let outcome = seen.entry.check(key, &self.rules);
        let request = match outcome {
            Ok(None) => {
                let unseen = self.logs.get(key).is_some_and(|log| log.unseen);
                self.forget(key, if unseen { Patience::Endless } else { Patience::Drain });
                return;
            }
            Ok(Some(request)) => Ok(request),
            Err(refusal) => Err(refusal),
        };
        let asked = Asked::by(&seen.entry);
        let Some(log) = self.logs.get_mut(key) else { return self.start(key, asked, request, seen.fifo) };
        log.unseen = false;
        // An answer that was written after the nodes were read cannot be among them.
        let answered = seen.entry.is_answered() || matches!(log.told, Told::At(at) if at > seen.began);
        let unchanged = log.asked == asked;
        let same_fifo = seen.fifo.is_none() || seen.fifo == log.named;
        match (&log.stage, request) {
            (Stage::Waiting(..) | Stage::Opening(..), _) if unchanged => {}
            (Stage::Refused(refusal), _) if unchanged && same_fifo && log.told == Told::No => {
                let answer = State::Error(refusal.clone());
                self.actions.push_back(Action::Answer(key.clone(), asked, log.named, answer));
            }
            (Stage::Refused(_), _) if unchanged && same_fifo && answered => {}
            (Stage::Ready(stream, old), Ok(new)) if same_log(old, &new) && same_fifo => {
                let (stream, changed) = (*stream, *old != new);
                let again = changed || !answered || log.told == Told::No;
                log.asked = asked;
                if changed && !self.adjust(key, stream, &new) {
                    self.forget(key, Patience::Handover);
                    self.start(key, asked, Ok(new), seen.fifo);
                } else if again {
                    self.answer_again(key);
                }
            }
            (_, request) => {
                let again = request.as_ref().is_ok_and(|new| log.reads(&new.pipe, seen.fifo));
                self.forget(key, if again { Patience::Handover } else { Patience::Drain });
                self.start(key, asked, request, seen.fifo);
            }
        }
    }

    /// Takes over a log that an earlier daemon served, before anything is seen. `ending`: its entry was gone already.
    pub fn resume(&mut self, stream: StreamId, key: LogKey, request: Request, fifo: FifoId, ending: bool) {
        self.next = self.next.max(stream.0 + 1);
        self.claims_of(&key).add(request.file.clone(), request.copies, stream);
        self.pipes.insert(request.pipe.clone(), stream);
        self.streams.insert(stream, key.clone());
        self.fifos.insert(stream, fifo);
        if ending {
            self.ending.insert(stream, request);
            return;
        }
        match key {
            LogKey::Entry(key) => {
                self.shares.add(key.owner);
                let log = Log::new(Asked::by(&Entry::default()), Some(fifo), Stage::Ready(stream, request));
                self.logs.insert(key, log);
            }
            LogKey::Own(own) => drop(self.own.insert(own, OwnLog { stream, request })),
        }
    }

    /// No stream has this number or a larger one yet.
    pub fn begin_at(&mut self, next: StreamId) {
        self.next = self.next.max(next.0);
    }

    /// The file and the pipe are open.
    pub fn opened(&mut self, stream: StreamId, fifo: FifoId) {
        self.fifos.insert(stream, fifo);
        let Some((key, log)) = self.log_of(stream) else { return };
        if let Stage::Opening(_, request) = &log.stage {
            log.stage = Stage::Ready(stream, request.clone());
            log.named = Some(fifo);
            let answer = Action::Answer(key, log.asked, log.named, State::Ready);
            self.actions.push_back(answer);
        }
    }

    /// The file or the pipe could not be opened, or is not what it should be.
    pub fn refused(&mut self, stream: StreamId, refusal: Refusal) {
        let found = self.log_of(stream).map(|(key, log)| (key, log.asked, log.named));
        self.release(stream);
        if let Some((key, asked, named)) = found {
            self.refuse(&key, asked, named, refusal);
        }
        self.retry_waiting();
    }

    /// A stream that was told to end has closed its file and its pipe.
    pub fn ended(&mut self, stream: StreamId) {
        self.release(stream);
        self.retry_waiting();
    }

    /// The answer to this entry stands in the store since this count.
    pub fn told(&mut self, key: &EntryKey, asked: Asked, at: u64) {
        if let Some(log) = self.logs.get_mut(key)
            && log.asked == asked
        {
            log.told = Told::At(at);
            if let Stage::Ready(stream, ..) = log.stage {
                self.actions.push_back(Action::Served(stream));
            }
        }
    }

    fn answer_again(&mut self, key: &EntryKey) {
        if let Some(log) = self.logs.get_mut(key) {
            log.told = Told::No;
            self.actions.push_back(Action::Answer(key.clone(), log.asked, log.named, State::Ready));
        }
    }

    /// The log that this stream is of, unless its entry has gone on without it.
    fn log_of(&mut self, stream: StreamId) -> Option<(EntryKey, &mut Log)> {
        let key = self.streams.get(&stream)?.entry()?.clone();
        let log = self.logs.get_mut(&key).filter(|log| log.stage.stream() == Some(stream))?;
        Some((key, log))
    }

    /// Takes up a new request.
    fn start(&mut self, key: &EntryKey, asked: Asked, request: Result<Request, Refusal>, fifo: Option<FifoId>) {
        let room = |request| self.shares.room(key, &self.rules.bounds).map(|()| request);
        let request = match request.and_then(room) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(key, asked, fifo, refusal),
        };
        if let Some((holder, node, what)) = self.holder(&request, fifo) {
            if let Some(held) = self.ending.get(&holder) {
                let patience = if held.pipe == request.pipe { Patience::Handover } else { Patience::None };
                self.actions.push_back(Action::End(holder, patience));
                return self.wait(key, asked, request, fifo);
            }
            let by = self.streams.get(&holder).and_then(LogKey::entry);
            if let Some(by) = by.filter(|by| *by != key && self.confirmed.as_ref() != Some(*by)).cloned() {
                // Events of two entries are looked at in any order: the holder may have gone before this one came.
                self.actions.push_back(Action::LookAt(by.clone()));
                self.doubted.insert(by);
                return self.wait(key, asked, request, fifo);
            }
            let by = self.streams.get(&holder).map_or_else(|| "another log".to_owned(), LogKey::path);
            let text = format!("{}: {what} of {by}", key.node(node));
            return self.refuse(key, asked, fifo, Refusal::new(Code::InUse, text));
        }
        self.shares.add(key.owner);
        self.open(key, asked, request, fifo);
    }

    fn wait(&mut self, key: &EntryKey, asked: Asked, request: Request, fifo: Option<FifoId>) {
        self.shares.add(key.owner);
        self.logs.insert(key.clone(), Log::new(asked, fifo, Stage::Waiting(request)));
        self.waiting.insert(key.clone());
    }

    /// Who has what this request needs, by which node it asks for it, and what that is.
    fn holder(&self, request: &Request, fifo: Option<FifoId>) -> Option<(StreamId, &'static str, String)> {
        if let Some((holder, held)) = self.claims.conflict(&request.file, request.copies) {
            let what = if *held == request.file { "is the file" } else { "shares a rotated copy's name with the file" };
            return Some((*holder, "file", format!("\"{}\" {what}", request.file.below(&self.rules.log).display())));
        }
        let holder = self.pipes.get(&request.pipe)?;
        // A FIFO that was made anew has nothing but its name from the one that is read.
        if fifo.is_some_and(|named| self.fifos.get(holder).is_some_and(|held| *held != named)) {
            return None;
        }
        Some((*holder, "pipe", format!("\"{}\" is the pipe", request.pipe.below(&self.rules.run).display())))
    }

    fn open(&mut self, key: &EntryKey, asked: Asked, request: Request, fifo: Option<FifoId>) {
        let stream = StreamId(self.next);
        self.next += 1;
        self.claims.add(request.file.clone(), request.copies, stream);
        self.pipes.insert(request.pipe.clone(), stream);
        self.streams.insert(stream, key.clone().into());
        self.actions.push_back(Action::Open(stream, key.clone().into(), request.clone()));
        self.logs.insert(key.clone(), Log::new(asked, fifo, Stage::Opening(stream, request)));
    }

    fn refuse(&mut self, key: &EntryKey, asked: Asked, fifo: Option<FifoId>, refusal: Refusal) {
        if let Some(log) = self.logs.get(key)
            && !matches!(log.stage, Stage::Refused(_))
        {
            self.shares.remove(key.owner);
        }
        self.actions.push_back(Action::Answer(key.clone(), asked, fifo, State::Error(refusal.clone())));
        self.logs.insert(key.clone(), Log::new(asked, fifo, Stage::Refused(refusal)));
    }

    /// The entry is gone or asks for something else: what it had comes to its end.
    fn forget(&mut self, key: &EntryKey, patience: Patience) {
        let Some(log) = self.logs.remove(key) else { return };
        self.actions.push_back(Action::Withdraw(key.clone()));
        match log.stage {
            Stage::Refused(_) => {}
            Stage::Waiting(..) => {
                self.waiting.remove(key);
                self.shares.remove(key.owner);
            }
            Stage::Opening(stream, request) | Stage::Ready(stream, request) => {
                self.shares.remove(key.owner);
                self.ending.insert(stream, request);
                self.actions.push_back(Action::End(stream, patience));
            }
        }
    }

    /// Other bounds for a running log; false if they would get in another's way.
    fn adjust(&mut self, key: &EntryKey, stream: StreamId, new: &Request) -> bool {
        let Some(Stage::Ready(_, old)) = self.logs.get(key).map(|log| &log.stage) else { return false };
        let old = old.clone();
        self.claims.remove(&old.file, &stream);
        let free = self.claims.conflict(&new.file, new.copies).is_none();
        self.claims.add(new.file.clone(), if free { new.copies } else { old.copies }, stream);
        if free {
            if let Some(log) = self.logs.get_mut(key) {
                log.stage = Stage::Ready(stream, new.clone());
            }
            self.actions.push_back(Action::Adjust(stream, new.clone()));
        }
        free
    }

    /// The stream is no more: its file is free.
    fn release(&mut self, stream: StreamId) {
        let ending = self.ending.remove(&stream);
        let live = self.log_of(stream).and_then(|(_, log)| match &log.stage {
            Stage::Opening(_, request) | Stage::Ready(_, request) => Some(request.clone()),
            Stage::Waiting(..) | Stage::Refused(_) => None,
        });
        let own = self.release_own(stream);
        if let Some(request) = ending.or(live).or(own) {
            if let Some(key) = self.streams.get(&stream).cloned() {
                self.claims_of(&key).remove(&request.file, &stream);
            }
            if self.pipes.get(&request.pipe) == Some(&stream) {
                self.pipes.remove(&request.pipe);
            }
        }
        self.fifos.remove(&stream);
        self.streams.remove(&stream);
    }

    /// Those that waited are judged anew: of two that waited for one, the first takes it.
    fn retry_waiting(&mut self) {
        for key in std::mem::take(&mut self.waiting) {
            if let Some(Log { asked, named, stage: Stage::Waiting(request), .. }) = self.logs.remove(&key) {
                self.shares.remove(key.owner);
                self.start(&key, asked, Ok(request), named);
            }
        }
    }
}

/// Whether this is the log that runs, if its pipe still names the same FIFO: from that, into the same file.
fn same_log(old: &Request, new: &Request) -> bool {
    (&old.pipe, &old.file) == (&new.pipe, &new.file)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
