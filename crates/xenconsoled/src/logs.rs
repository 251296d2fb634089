//! What the daemon serves, held against what the store says. Decisions only: values in, [`Action`]s out.
//!
//! Level-triggered: [`Logs::seen`] is told how an entry stands now, as often as anybody likes, and answers with what has to be
//! done to get from what runs to what is asked for; nothing when they agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use logproto::{Claims, Code, Entry, EntryKey, Owner, PipePath, Refusal, Request, Rules, State};

/// One run of one log, from opening to end. An entry that starts over gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Which FIFO it is, whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FifoId {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

/// How an entry stands, as one look found it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its nodes.
    pub entry: Entry,
    /// The FIFO that its `pipe` names now, if it names one.
    pub fifo: Option<FifoId>,
    /// When the look began, in the count that [`Logs::told`] uses too: what was told after that cannot be in it.
    pub began: u64,
    /// Whether the store was lost since this entry was last seen: then a missing entry says nothing of its log.
    pub after_loss: bool,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open the file and the pipe; report [`Logs::opened`] or [`Logs::refused`].
    Open(StreamId, EntryKey, Request),
    /// Go on with other bounds.
    Adjust(StreamId, Request),
    /// Read until the last writer has closed, then close; report [`Logs::ended`].
    End(StreamId, Patience),
    /// Write the answer, provided that the entry still asks for the same.
    Answer(EntryKey, Entry, State),
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
    entry: Entry,
    stage: Stage,
    told: Told,
}

#[derive(Debug)]
enum Stage {
    /// Another stream that is at its end still has the file.
    Waiting(Request),
    Opening(StreamId, Request),
    Ready(StreamId, Request, FifoId),
    Refused(Refusal),
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
    /// Entries whose file another stream still has.
    waiting: BTreeSet<EntryKey>,
    streams: HashMap<StreamId, EntryKey>,
    live: HashMap<Owner, usize>,
    all_live: usize,
    claims: Claims<StreamId>,
    /// Who reads a pipe: of two readers each would get a part of what comes.
    pipes: HashMap<PipePath, StreamId>,
    /// Streams that read on after their entry went: their files are still taken.
    ending: HashMap<StreamId, Request>,
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
            streams: HashMap::new(),
            live: HashMap::new(),
            all_live: 0,
            claims: Claims::default(),
            pipes: HashMap::new(),
            ending: HashMap::new(),
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
        let first = EntryKey { owner, name: String::new() };
        self.logs.range(first..).map(|(key, _)| key).take_while(move |key| key.owner == owner)
    }

    /// Every entry that is known here.
    pub fn entries(&self) -> impl Iterator<Item = &EntryKey> {
        self.logs.keys()
    }

    /// How many logs are being served, and how many read on after their entry went.
    pub fn counts(&self) -> (usize, usize) {
        (self.all_live, self.ending.len())
    }

    /// The connection to the store was lost: what was being answered has to be answered again.
    pub fn store_lost(&mut self) {
        for log in self.logs.values_mut() {
            log.told = Told::No;
        }
    }

    /// Holds one entry, as it stands in the store, against what is served.
    pub fn seen(&mut self, key: &EntryKey, seen: Seen) {
        let outcome = seen.entry.check(key, &self.rules);
        let request = match outcome {
            Ok(None) => {
                let patience = if seen.after_loss { Patience::Endless } else { Patience::Drain };
                self.forget(key, patience);
                return;
            }
            Ok(Some(request)) => Ok(request),
            Err(refusal) => Err(refusal),
        };
        let Some(log) = self.logs.get_mut(key) else {
            self.start(key, seen.entry, request);
            return;
        };
        // An answer that was written after the look began cannot be in what it saw.
        let answered = seen.entry.is_answered() || matches!(log.told, Told::At(at) if at > seen.began);
        let unchanged = log.entry.same_request(&seen.entry);
        match (&log.stage, request) {
            (Stage::Waiting(_) | Stage::Opening(..), _) if unchanged => {}
            (Stage::Refused(refusal), _) if unchanged && log.told == Told::No => {
                let answer = State::Error(refusal.clone());
                self.actions.push_back(Action::Answer(key.clone(), seen.entry, answer));
            }
            (Stage::Refused(_), _) if unchanged && answered => {}
            (Stage::Ready(stream, old, fifo), Ok(new)) if same_log(old, &new, *fifo, seen.fifo) => {
                let (stream, changed) = (*stream, *old != new);
                let again = changed || !answered || log.told == Told::No;
                log.entry = seen.entry.clone();
                if changed && !self.adjust(key, stream, &new) {
                    self.forget(key, Patience::Handover);
                    self.start(key, seen.entry, Ok(new));
                } else if again {
                    self.answer_again(key, seen.entry);
                }
            }
            (stage, request) => {
                let held = matches!(stage, Stage::Ready(_, _, held) if Some(*held) == seen.fifo);
                let patience = if held && request.is_ok() { Patience::Handover } else { Patience::Drain };
                self.forget(key, patience);
                self.start(key, seen.entry, request);
            }
        }
    }

    /// The file and the pipe are open.
    pub fn opened(&mut self, stream: StreamId, fifo: FifoId) {
        let Some((key, log)) = self.log_of(stream) else { return };
        if let Stage::Opening(_, request) = &log.stage {
            log.stage = Stage::Ready(stream, request.clone(), fifo);
            let answer = Action::Answer(key, log.entry.clone(), State::Ready);
            self.actions.push_back(answer);
        }
    }

    /// The file or the pipe could not be opened, or is not what it should be.
    pub fn refused(&mut self, stream: StreamId, refusal: Refusal) {
        let found = self.log_of(stream).map(|(key, log)| (key, log.entry.clone()));
        self.release(stream);
        if let Some((key, entry)) = found {
            self.refuse(&key, entry, refusal);
        }
        self.retry_waiting();
    }

    /// A stream that was told to end has closed its file and its pipe.
    pub fn ended(&mut self, stream: StreamId) {
        self.release(stream);
        self.retry_waiting();
    }

    /// The answer to this entry stands in the store since this count.
    pub fn told(&mut self, key: &EntryKey, entry: &Entry, at: u64) {
        if let Some(log) = self.logs.get_mut(key)
            && log.entry.same_request(entry)
        {
            log.told = Told::At(at);
        }
    }

    fn answer_again(&mut self, key: &EntryKey, entry: Entry) {
        if let Some(log) = self.logs.get_mut(key) {
            log.told = Told::No;
            self.actions.push_back(Action::Answer(key.clone(), entry, State::Ready));
        }
    }

    fn log_of(&mut self, stream: StreamId) -> Option<(EntryKey, &mut Log)> {
        let key = self.streams.get(&stream)?.clone();
        let log = self.logs.get_mut(&key)?;
        Some((key, log))
    }

    /// Takes up a new request.
    fn start(&mut self, key: &EntryKey, entry: Entry, request: Result<Request, Refusal>) {
        let request = match request.and_then(|request| self.room(key).map(|()| request)) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(key, entry, refusal),
        };
        if let Some((holder, node, what)) = self.holder(&request) {
            let Some(held) = self.ending.get(&holder) else {
                let by = self.streams.get(&holder).map_or_else(|| "another log".to_owned(), EntryKey::path);
                let text = format!("{}: {what} of {by}", key.node(node));
                return self.refuse(key, entry, Refusal::new(Code::InUse, text));
            };
            let patience = if held.pipe == request.pipe { Patience::Handover } else { Patience::None };
            self.actions.push_back(Action::End(holder, patience));
            self.count(key.owner, 1);
            self.logs.insert(key.clone(), Log { entry, stage: Stage::Waiting(request), told: Told::No });
            self.waiting.insert(key.clone());
            return;
        }
        self.count(key.owner, 1);
        self.open(key, entry, request);
    }

    /// Who has what this request needs, by which node it asks for it, and what that is.
    fn holder(&self, request: &Request) -> Option<(StreamId, &'static str, String)> {
        if let Some((holder, held)) = self.claims.conflict(&request.file, request.copies) {
            let what = if *held == request.file { "is the file" } else { "shares a rotated copy's name with the file" };
            return Some((*holder, "file", format!("\"{}\" {what}", request.file.below(&self.rules.log).display())));
        }
        let holder = self.pipes.get(&request.pipe)?;
        Some((*holder, "pipe", format!("\"{}\" is the pipe", request.pipe.below(&self.rules.run).display())))
    }

    fn open(&mut self, key: &EntryKey, entry: Entry, request: Request) {
        let stream = StreamId(self.next);
        self.next += 1;
        self.claims.add(request.file.clone(), request.copies, stream);
        self.pipes.insert(request.pipe.clone(), stream);
        self.streams.insert(stream, key.clone());
        self.actions.push_back(Action::Open(stream, key.clone(), request.clone()));
        self.logs.insert(key.clone(), Log { entry, stage: Stage::Opening(stream, request), told: Told::No });
    }

    fn refuse(&mut self, key: &EntryKey, entry: Entry, refusal: Refusal) {
        if let Some(log) = self.logs.get(key)
            && !matches!(log.stage, Stage::Refused(_))
        {
            self.count(key.owner, -1);
        }
        self.actions.push_back(Action::Answer(key.clone(), entry.clone(), State::Error(refusal.clone())));
        self.logs.insert(key.clone(), Log { entry, stage: Stage::Refused(refusal), told: Told::No });
    }

    /// Whether this owner may have one more log.
    fn room(&self, key: &EntryKey) -> Result<(), Refusal> {
        let bounds = &self.rules.bounds;
        let most = match key.owner {
            Owner::Host => bounds.logs_of_host,
            Owner::Domain(_) => bounds.logs_per_domain,
        };
        let refuse = |who: String, most| {
            Err(Refusal::new(Code::TooMany, format!("{}: {who} has {most} logs, the most allowed", key.path())))
        };
        if self.live.get(&key.owner).is_some_and(|live| *live >= most) {
            return refuse(key.owner.to_string(), most);
        }
        if self.all_live >= bounds.logs {
            return refuse("this host".to_owned(), bounds.logs);
        }
        Ok(())
    }

    fn count(&mut self, owner: Owner, by: isize) {
        let live = self.live.entry(owner).or_default();
        *live = live.saturating_add_signed(by);
        if *live == 0 {
            self.live.remove(&owner);
        }
        self.all_live = self.all_live.saturating_add_signed(by);
    }

    /// The entry is gone or asks for something else: what it had comes to its end.
    fn forget(&mut self, key: &EntryKey, patience: Patience) {
        let Some(log) = self.logs.remove(key) else { return };
        match log.stage {
            Stage::Refused(_) => {}
            Stage::Waiting(_) => {
                self.waiting.remove(key);
                self.count(key.owner, -1);
            }
            Stage::Opening(stream, request) | Stage::Ready(stream, request, _) => {
                self.count(key.owner, -1);
                self.ending.insert(stream, request);
                self.actions.push_back(Action::End(stream, patience));
            }
        }
    }

    /// Other bounds for a running log; false if they would get in another's way.
    fn adjust(&mut self, key: &EntryKey, stream: StreamId, new: &Request) -> bool {
        let Some(Log { stage: Stage::Ready(_, old, fifo), .. }) = self.logs.get(key) else { return false };
        let (old, fifo) = (old.clone(), *fifo);
        self.claims.remove(&old.file, &stream);
        let free = self.claims.conflict(&new.file, new.copies).is_none();
        self.claims.add(new.file.clone(), if free { new.copies } else { old.copies }, stream);
        if free {
            if let Some(log) = self.logs.get_mut(key) {
                log.stage = Stage::Ready(stream, new.clone(), fifo);
            }
            self.actions.push_back(Action::Adjust(stream, new.clone()));
        }
        free
    }

    /// The stream is no more: its file is free.
    fn release(&mut self, stream: StreamId) {
        let ending = self.ending.remove(&stream);
        let live = self.log_of(stream).and_then(|(_, log)| match &log.stage {
            Stage::Opening(of, request) | Stage::Ready(of, request, _) if *of == stream => Some(request.clone()),
            _ => None,
        });
        if let Some(request) = ending.or(live) {
            self.claims.remove(&request.file, &stream);
            self.pipes.remove(&request.pipe);
        }
        self.streams.remove(&stream);
    }

    /// Those that waited for a file are judged anew: of two that waited for one, the first takes it.
    fn retry_waiting(&mut self) {
        for key in std::mem::take(&mut self.waiting) {
            if let Some(Log { entry, stage: Stage::Waiting(request), .. }) = self.logs.remove(&key) {
                self.count(key.owner, -1);
                self.start(&key, entry, Ok(request));
            }
        }
    }
}

/// Whether this is the log that runs: the same pipe, by name and by identity, into the same file.
fn same_log(old: &Request, new: &Request, held: FifoId, named: Option<FifoId>) -> bool {
    (&old.pipe, &old.file) == (&new.pipe, &new.file) && named.is_none_or(|named| named == held)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
