//! What outlives this process: descriptors that the keeper or systemd holds too, the book and the roll. With them a daemon that
//! was killed at any moment is followed by one that goes on where it was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use logproto::{Request, Rules};

use crate::book::{Book, MOST_ACCOUNTS};
use crate::chunk::Chunk;
use crate::consoles::KeptConsole;
use crate::hand::Hand;
use crate::key::{ConsoleKey, LogKey, Own};
use crate::logs::{Patience, StreamId};
use crate::notify::Notify;
use crate::numbers::Numbers;
use crate::pack::pack;
use crate::pipe;
use crate::roll::{Line, Roll};
use crate::source::Source;
use crate::writers::WriterId;

/// More hands than there can be logs.
const MOST_HANDS: u32 = 1 << 20;

/// What waits until the keeper has what belongs to it.
#[derive(Debug)]
pub enum Safe {
    /// This log may be read and answered.
    Log(StreamId, Arc<Source>),
    /// This hand may be used by this writer; by the relief of full pipes if none is named.
    Hand(Option<WriterId>, Hand),
    /// Clients may be told of this console's pty.
    Console(ConsoleKey),
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
    /// What is used and not kept, by name: there was no room for it.
    not_kept: BTreeSet<String>,
    /// Whether it was said that the roll cannot be written.
    is_said: bool,
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
    /// Ptys of consoles.
    pub consoles: BTreeMap<ConsoleKey, KeptConsole>,
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
        let Received { pipes, hands, consoles, unknown } = Received::sort(received);
        // What is kept by the name of a log is its pipe, or it is not this log's.
        old.retain(|id, line| pipes.get(id).is_some_and(|pipe| pipe::id_of(pipe) == Some(line.fifo)));
        // Two logs with one account would count each other's drops: no daemon made that.
        let mut accounts = BTreeSet::new();
        old.retain(|_, line| accounts.insert(line.account));
        let (roll, begun) = Roll::begin(run, &old);
        let last = pipes.last_key_value().map_or(0, |(id, _)| id.0.saturating_add(1));
        let next = roll.next().max(StreamId(last));
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
            not_kept: BTreeSet::new(),
            is_said: false,
        };
        kept.note(begun);
        unknown.iter().for_each(|name| kept.forget(name));
        let legacy = kept.take_over(pipes, hands, next);
        Ok((kept, Legacy { consoles, ..legacy }))
    }

    fn take_over(
        &mut self,
        mut pipes: BTreeMap<StreamId, OwnedFd>,
        ends: BTreeMap<u32, (OwnedFd, OwnedFd)>,
        next: StreamId,
    ) -> Legacy {
        let (mut full, mut empty) = (BTreeMap::new(), Vec::new());
        for (number, (reader, writer)) in ends {
            self.hands.mark_taken(number);
            let chunk = match Chunk::from_ends(reader, writer) {
                Ok(chunk) => chunk,
                Err(why) => {
                    tracing::warn!("hand {number} that was kept is no pipe: {why}");
                    self.forget_hand(number);
                    continue;
                }
            };
            let mut hand = Hand::recover(number, chunk, Arc::clone(&self.book));
            if let Some((dropped, bytes)) = hand.dropping() {
                if let Some(line) = self.lines.get(&hand.stream()) {
                    self.book.note(self.book.count_dropped(line.account, hand.stream(), dropped, bytes));
                }
                hand.abandon();
            }
            if !hand.is_empty() && !self.lines.contains_key(&hand.stream()) {
                tracing::warn!("{} bytes of a log that is not on the roll are lost", hand.chunk().len());
                hand.abandon();
            }
            if hand.is_empty() {
                empty.push(hand);
            } else if let Some(mut other) = full.insert(hand.stream(), hand) {
                // A log has one at a time: the book is not what a daemon wrote.
                tracing::warn!("{} bytes in a second hand of one log are lost", other.chunk().len());
                other.abandon();
                empty.push(other);
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
        Legacy { logs, hands: empty, consoles: BTreeMap::new(), next }
    }

    /// Takes no more room than it needs: see [`pack`].
    pub fn pack(&mut self) {
        pack(&mut self.lines);
        self.notify.iter_mut().for_each(Notify::pack);
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

    /// A log was opened. It may be read and answered when [`Kept::safe`] says so.
    pub fn opened(&mut self, id: StreamId, account: u32, key: LogKey, request: Request, source: Arc<Source>) {
        let line = Line { account, key, request, fifo: source.fifo(), served: false, ending: None };
        let written = self.roll.open(id, &line);
        self.lines.insert(id, line);
        self.note(written);
        self.store(&log_name(id), &[source.pipe()]);
        self.waiting.push_back(Safe::Log(id, source));
    }

    /// A log goes on with other bounds.
    pub fn adjusted(&mut self, id: StreamId, request: &Request) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.request = request.clone();
            let written = self.roll.open(id, line);
            self.note(written);
        }
    }

    /// A log's client knows that it is served.
    pub fn served(&mut self, id: StreamId) {
        if let Some(line) = self.lines.get_mut(&id).filter(|line| !line.served) {
            line.served = true;
            let written = self.roll.served(id);
            self.note(written);
        }
    }

    /// A log's entry is gone.
    pub fn ending(&mut self, id: StreamId, patience: Patience) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.ending = Some(patience);
            let written = self.roll.end(id, patience);
            self.note(written);
        }
    }

    /// A log is over.
    pub fn ended(&mut self, id: StreamId) {
        if let Some(line) = self.lines.remove(&id) {
            let written = self.roll.gone(id);
            self.note(written);
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
        // Half of it is of no use to the next daemon.
        if self.store(&hand_reader(number), &[from]) && !self.store(&hand_writer(number), &[to]) {
            self.forget(&hand_reader(number));
        }
        let hand = Hand::new(number, chunk, Arc::clone(&self.book));
        self.waiting.push_back(Safe::Hand(writer, hand));
        Ok(())
    }

    /// A hand is not needed any more.
    pub fn hand_back(&mut self, hand: &Hand) {
        let number = hand.number();
        self.forget_hand(number);
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

    /// A console has a pty: its master, its slave, and what waits for a reader. Clients may be told of it when [`Kept::safe`] says so.
    pub fn console(&mut self, key: ConsoleKey, descriptors: [BorrowedFd<'_>; 3]) {
        let names = console_names(key);
        // One without the others is of no use to the next daemon.
        let are_kept = names.iter().zip(descriptors).all(|(name, fd)| self.store(name, &[fd]));
        if !are_kept {
            names.iter().for_each(|name| self.forget_one(name));
        }
        self.waiting.push_back(Safe::Console(key));
    }

    /// A console is gone, or gets another pty.
    pub fn forget_console(&mut self, key: ConsoleKey) {
        console_names(key).iter().for_each(|name| self.forget(name));
    }

    /// How many logs and hands are used and not kept.
    pub fn not_kept(&self) -> usize {
        self.not_kept.len()
    }

    fn store(&mut self, name: &str, fds: &[BorrowedFd<'_>]) -> bool {
        let Some(notify) = &mut self.notify else { return false };
        let is_kept = notify.store(name, fds);
        // That nobody keeps anything any more has been said.
        if !is_kept && !notify.is_gone() {
            if self.not_kept.is_empty() {
                tracing::warn!(
                    "no more descriptors can be kept (FileDescriptorStoreMax=, 128 KiB of names, or no descriptors left): logs \
                     are served all the same, but what they have in hand when this daemon is killed is lost"
                );
            }
            self.not_kept.insert(name.to_owned());
        }
        is_kept
    }

    fn forget(&mut self, name: &str) {
        if self.not_kept.remove(name) && self.not_kept.is_empty() {
            tracing::info!("all logs are kept again");
        }
        self.forget_one(name);
    }

    fn forget_one(&mut self, name: &str) {
        if let Some(notify) = &mut self.notify {
            notify.remove(name);
        }
    }

    fn forget_hand(&mut self, number: u32) {
        self.forget(&hand_reader(number));
        self.forget(&hand_writer(number));
    }

    /// What came of writing the roll: one that could not be written, or has grown long, is begun anew.
    fn note(&mut self, written: std::io::Result<()>) {
        let is_due = written.is_err() || self.roll.is_long();
        let written = if is_due { self.roll.begin_anew(&self.lines) } else { written };
        match written {
            Ok(()) => self.is_said = false,
            Err(why) if !std::mem::replace(&mut self.is_said, true) => {
                tracing::warn!("{}: cannot keep the roll in the run directory: {why}; trying again", crate::roll::NAME);
            }
            Err(_) => {}
        }
    }
}

fn log_name(id: StreamId) -> String {
    format!("log-{}", id.0)
}

/// The names of a console's master, slave, and what waits.
fn console_names(key: ConsoleKey) -> [String; 3] {
    let name = Own::Console(key).name();
    PARTS.map(|part| format!("{name}{part}"))
}

const PARTS: [&str; 3] = ["-master", "-slave", "-backlog"];

fn hand_reader(number: u32) -> String {
    format!("hand-r-{number}")
}

fn hand_writer(number: u32) -> String {
    format!("hand-w-{number}")
}

/// Which part of which console has this name.
fn console_part(name: &str) -> Option<(ConsoleKey, usize)> {
    let part = PARTS.iter().position(|part| name.ends_with(part))?;
    match name.strip_suffix(PARTS[part])?.parse() {
        Ok(Own::Console(key)) => Some((key, part)),
        _ => None,
    }
}

/// Kept descriptors, by what they are.
struct Received {
    pipes: BTreeMap<StreamId, OwnedFd>,
    hands: BTreeMap<u32, (OwnedFd, OwnedFd)>,
    consoles: BTreeMap<ConsoleKey, KeptConsole>,
    unknown: Vec<String>,
}

impl Received {
    fn sort(received: Vec<(String, OwnedFd)>) -> Received {
        let (mut pipes, mut unknown) = (BTreeMap::new(), Vec::new());
        let (mut readers, mut writers) = (BTreeMap::new(), BTreeMap::new());
        let mut parts: BTreeMap<ConsoleKey, [Option<OwnedFd>; 3]> = BTreeMap::new();
        for (name, fd) in received {
            if let Some(id) = name.strip_prefix("log-").and_then(|id| id.parse().ok()) {
                pipes.insert(StreamId(id), fd);
            } else if let Some(number) = name.strip_prefix("hand-r-").and_then(|number| number.parse().ok()) {
                readers.insert(number, fd);
            } else if let Some(number) = name.strip_prefix("hand-w-").and_then(|number| number.parse().ok()) {
                writers.insert(number, fd);
            } else if let Some((key, part)) = console_part(&name) {
                parts.entry(key).or_default()[part] = Some(fd);
            } else {
                unknown.push(name);
            }
        }
        let mut hands = BTreeMap::new();
        for (number, reader) in readers {
            match writers.remove(&number) {
                Some(writer) => drop(hands.insert(number, (reader, writer))),
                // Killed between the two: it was never used.
                None => unknown.push(hand_reader(number)),
            }
        }
        unknown.extend(writers.keys().copied().map(hand_writer));
        let mut consoles = BTreeMap::new();
        for (key, parts) in parts {
            match parts {
                [Some(master), Some(slave), Some(backlog)] => {
                    consoles.insert(key, KeptConsole { master, slave, backlog });
                }
                // Killed between them: clients were never told of it.
                _ => unknown.extend(console_names(key)),
            }
        }
        Received { pipes, hands, consoles, unknown }
    }
}

#[cfg(test)]
mod tests;
