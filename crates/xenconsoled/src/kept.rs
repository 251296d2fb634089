//! What outlives this process: descriptors that the keeper or systemd holds too, the book and the roll. With them a daemon that
//! was killed at any moment is followed by one that goes on where it was.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use logproto::{EntryKey, Request, Rules};

use crate::book::{Book, MOST_ACCOUNTS};
use crate::chunk::Chunk;
use crate::hand::Hand;
use crate::logs::{FifoId, Patience, StreamId};
use crate::notify::Notify;
use crate::numbers::Numbers;
use crate::roll::{Line, Roll};
use crate::source::Source;
use crate::writers::WriterId;

/// More hands than there can be logs.
const MOST_HANDS: u32 = 1 << 20;

/// What waits until the keeper has what belongs to it.
#[derive(Debug)]
pub enum Safe {
    /// This log may be answered.
    Log(StreamId, FifoId),
    /// This hand may be used by this writer; by the relief of full pipes if none is named.
    Hand(Option<WriterId>, Hand),
}

/// What one daemon leaves to the next.
#[derive(Debug)]
pub struct Kept {
    notify: Option<Notify>,
    book: Arc<Book>,
    roll: Roll,
    lines: BTreeMap<StreamId, Line>,
    accounts: Numbers,
    hands: Numbers,
    /// Empty hands that nobody has.
    spare: Vec<Hand>,
    waiting: VecDeque<Safe>,
}

/// A log that goes on.
#[derive(Debug)]
pub struct Resumed {
    /// Its number.
    pub id: StreamId,
    /// What the roll says of it.
    pub line: Line,
    /// Its pipe.
    pub source: Arc<Source>,
    /// What the last daemon had in hand for it.
    pub hand: Option<Hand>,
}

/// What the last daemon left.
#[derive(Debug)]
pub struct Legacy {
    /// Logs that go on.
    pub logs: Vec<Resumed>,
    /// Empty hands.
    pub hands: Vec<Hand>,
    /// No number of a log is as large as this.
    pub next: StreamId,
}

impl Kept {
    /// Opens the book and the roll in the run directory, and puts together what the last daemon left in them with the
    /// descriptors that were kept.
    pub fn open(
        rules: &Rules,
        notify: Option<Notify>,
        received: Vec<(String, OwnedFd)>,
    ) -> std::io::Result<(Kept, Legacy)> {
        let run = rules.run.path();
        let book = Arc::new(Book::open(run)?);
        let mut old = Roll::read(run, rules);
        let next = StreamId(old.last_key_value().map_or(0, |(id, _)| id.0 + 1));
        let Received { pipes, hands, unknown } = Received::sort(received);
        old.retain(|id, _| pipes.contains_key(id));
        let roll = Roll::begin(run, &old)?;
        let (accounts, numbers) = (Numbers::below(MOST_ACCOUNTS), Numbers::below(MOST_HANDS));
        let mut kept = Kept {
            notify,
            book,
            roll,
            lines: old,
            accounts,
            hands: numbers,
            spare: Vec::new(),
            waiting: VecDeque::new(),
        };
        unknown.iter().for_each(|name| kept.forget(name));
        let legacy = kept.take_over(pipes, hands, next)?;
        Ok((kept, legacy))
    }

    fn take_over(
        &mut self,
        mut pipes: BTreeMap<StreamId, OwnedFd>,
        ends: BTreeMap<u32, (OwnedFd, OwnedFd)>,
        next: StreamId,
    ) -> std::io::Result<Legacy> {
        let (mut full, mut empty) = (BTreeMap::new(), Vec::new());
        for (number, (reader, writer)) in ends {
            self.hands.mark_taken(number);
            let chunk = Chunk::from_ends(reader, writer)?;
            let book = Arc::clone(&self.book);
            let mut hand = Hand::recover(number, chunk, book)?;
            if let Some((dropped, bytes)) = hand.dropping() {
                if let Some(line) = self.lines.get(&hand.stream()) {
                    self.book.count_dropped(line.account, hand.stream(), dropped, bytes)?;
                }
                hand.abandon();
            }
            if !hand.is_empty() && !self.lines.contains_key(&hand.stream()) {
                tracing::warn!("{} bytes of a log that is not on the roll are lost", hand.missing());
                hand.abandon();
            }
            if hand.is_empty() {
                empty.push(hand);
            } else {
                full.insert(hand.stream(), hand);
            }
        }
        let mut logs = Vec::new();
        for (id, line) in &self.lines {
            let Some(pipe) = pipes.remove(id) else { continue };
            self.accounts.mark_taken(line.account);
            let book = Arc::clone(&self.book);
            let hand = full.remove(id);
            let told = hand.as_ref().map_or(0, Hand::tells);
            let source = Source::recover(pipe, line.fifo, line.request.policy, *id, book, line.account, told);
            if line.served {
                source.set_served();
            }
            logs.push(Resumed { id: *id, line: line.clone(), source: Arc::new(source), hand });
        }
        // Their logs were over, or never answered.
        pipes.keys().for_each(|id| self.forget(&log_name(*id)));
        Ok(Legacy { logs, hands: empty, next })
    }

    /// The book, for the writer.
    pub fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// Whether somebody keeps descriptors for the next daemon.
    pub fn is_kept(&self) -> bool {
        self.notify.is_some()
    }

    /// The one who keeps them, to be told how it goes.
    pub fn notify(&mut self) -> Option<&mut Notify> {
        self.notify.as_mut()
    }

    /// An account for a log that is about to be opened.
    pub fn take_account(&mut self) -> Option<u32> {
        self.accounts.take()
    }

    /// A log could not be opened.
    pub fn give_account_back(&mut self, account: u32) {
        self.accounts.give_back(account);
    }

    /// A log was opened. It may be answered when [`Kept::safe`] says so.
    pub fn opened(&mut self, id: StreamId, account: u32, key: EntryKey, request: Request, source: &Source) {
        let line = Line { account, key, request, fifo: source.fifo(), served: false, ending: None };
        note(self.roll.open(id, &line));
        self.lines.insert(id, line);
        self.store(&log_name(id), &[source.pipe()]);
        self.waiting.push_back(Safe::Log(id, source.fifo()));
    }

    /// A log goes on with other bounds.
    pub fn adjusted(&mut self, id: StreamId, request: &Request) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.request = request.clone();
            note(self.roll.open(id, line));
        }
    }

    /// A log's client knows that it is served.
    pub fn served(&mut self, id: StreamId) {
        if let Some(line) = self.lines.get_mut(&id).filter(|line| !line.served) {
            line.served = true;
            note(self.roll.served(id));
        }
    }

    /// A log's entry is gone.
    pub fn ending(&mut self, id: StreamId, patience: Patience) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.ending = Some(patience);
            note(self.roll.end(id, patience));
        }
    }

    /// A log is over.
    pub fn ended(&mut self, id: StreamId) {
        if let Some(line) = self.lines.remove(&id) {
            note(self.roll.gone(id));
            self.accounts.give_back(line.account);
            self.forget(&log_name(id));
        }
    }

    /// Takes hands for those who will want some.
    pub fn add_spare(&mut self, hands: Vec<Hand>) {
        self.spare.extend(hands);
    }

    /// One more hand for a writer, or for the relief. It may be used when [`Kept::safe`] says so.
    pub fn make_hand(&mut self, writer: Option<WriterId>) -> std::io::Result<()> {
        if let Some(hand) = self.spare.pop() {
            self.waiting.push_back(Safe::Hand(writer, hand));
            return Ok(());
        }
        let Some(number) = self.hands.take() else { return Err(std::io::ErrorKind::OutOfMemory.into()) };
        let chunk = Chunk::new().inspect_err(|_| self.hands.give_back(number))?;
        let [from, to] = chunk.ends();
        if let Some(notify) = &mut self.notify {
            notify.store(&format!("hand-r-{number}"), &[from]);
            notify.store(&format!("hand-w-{number}"), &[to]);
        }
        let hand = Hand::new(number, chunk, Arc::clone(&self.book));
        self.waiting.push_back(Safe::Hand(writer, hand));
        Ok(())
    }

    /// A hand is not needed any more.
    pub fn hand_back(&mut self, hand: &Hand) {
        let number = hand.number();
        self.forget(&format!("hand-r-{number}"));
        self.forget(&format!("hand-w-{number}"));
        self.hands.give_back(number);
    }

    /// Goes on with what is to be told to the keeper, and answers with what is safe by now.
    pub fn safe(&mut self) -> Option<Safe> {
        if let Some(notify) = &mut self.notify {
            notify.process();
            if !notify.is_flushed() {
                return None;
            }
        }
        self.waiting.pop_front()
    }

    fn store(&mut self, name: &str, fds: &[BorrowedFd<'_>]) {
        if let Some(notify) = &mut self.notify {
            notify.store(name, fds);
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(notify) = &mut self.notify {
            notify.remove(name);
        }
    }
}

fn log_name(id: StreamId) -> String {
    format!("log-{}", id.0)
}

fn note(written: std::io::Result<()>) {
    if let Err(why) = written {
        tracing::warn!("cannot keep the roll in the run directory: {why}");
    }
}

/// Kept descriptors, by what they are.
struct Received {
    pipes: BTreeMap<StreamId, OwnedFd>,
    hands: BTreeMap<u32, (OwnedFd, OwnedFd)>,
    unknown: Vec<String>,
}

impl Received {
    fn sort(received: Vec<(String, OwnedFd)>) -> Received {
        let (mut pipes, mut unknown) = (BTreeMap::new(), Vec::new());
        let (mut readers, mut writers) = (BTreeMap::new(), BTreeMap::new());
        for (name, fd) in received {
            if let Some(id) = name.strip_prefix("log-").and_then(|id| id.parse().ok()) {
                pipes.insert(StreamId(id), fd);
            } else if let Some(number) = name.strip_prefix("hand-r-").and_then(|number| number.parse().ok()) {
                readers.insert(number, fd);
            } else if let Some(number) = name.strip_prefix("hand-w-").and_then(|number| number.parse().ok()) {
                writers.insert(number, fd);
            } else {
                unknown.push(name);
            }
        }
        let mut hands = BTreeMap::new();
        for (number, reader) in readers {
            match writers.remove(&number) {
                Some(writer) => drop(hands.insert(number, (reader, writer))),
                // Killed between the two: it was never used.
                None => unknown.push(format!("hand-r-{number}")),
            }
        }
        unknown.extend(writers.keys().map(|number: &u32| format!("hand-w-{number}")));
        Received { pipes, hands, unknown }
    }
}
