//! One life of the daemon: all that it has in memory, and no threads. What its main thread does is done as
//! [`crate::daemon::Daemon`] does it; the writer is the real one, round by round.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logproto::{Code, Refusal, Request, Rules};
use rustix::event::{Timespec, epoll};

use super::keeper::Keeper;
use super::store::{Finding, Store};
use crate::kept::{Kept, Legacy, Resumed, Safe};
use crate::key::LogKey;
use crate::logs::{Action, FifoId, Logs, Patience, Seen, StreamId};
use crate::pipe;
use crate::relief::Relief;
use crate::roll::Line;
use crate::source::Ledger;
use crate::writer::{Command, Places, Report, Thread, Writer};
use crate::writers::WriterId;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What the ledger has to know.
#[derive(Debug)]
pub enum News {
    /// A log is about to be opened, or goes on.
    Open(StreamId, Request),
    /// Its pipe is open.
    Opened(StreamId, FifoId),
    /// It is to come to its end.
    End(StreamId, Patience),
    /// It goes on with other bounds.
    Adjust(StreamId, Request),
    /// Its file and its pipe are closed.
    Closed(StreamId),
    /// It was not opened.
    Refused(StreamId),
    /// It is over.
    Over(StreamId),
}

/// The daemon.
pub struct Life {
    logs: Logs,
    /// Shared with what happens while the writer waits for the disk.
    pub relief: Rc<RefCell<Relief>>,
    kept: Kept,
    writer: Writer,
    thread: Thread,
    opening: HashMap<StreamId, (u32, LogKey, Request)>,
    owed: Vec<Option<WriterId>>,
    reports: VecDeque<Report>,
    events: Vec<epoll::Event>,
    /// To be taken after each step, and after a kill.
    pub news: Vec<News>,
}

impl Life {
    /// Begins, with what a keeper has kept.
    pub fn start(rules: &Rules, places: &Places, keeper: &mut Keeper) -> Life {
        let (notify, received) = keeper.pass_on();
        let (kept, legacy) = Kept::open(rules, Some(notify), received).unwrap();
        let (writer, thread) = Writer::new(places.clone(), Arc::clone(kept.book()), kept.is_kept()).unwrap();
        let mut life = Life {
            logs: Logs::new(rules.clone()),
            relief: Rc::new(RefCell::new(Relief::new().unwrap())),
            kept,
            writer,
            thread,
            opening: HashMap::new(),
            owed: vec![None],
            reports: VecDeque::new(),
            events: Vec::with_capacity(64),
            news: Vec::new(),
        };
        life.take_over(legacy);
        life
    }

    fn take_over(&mut self, legacy: Legacy) {
        let Legacy { logs, hands, next, .. } = legacy;
        self.kept.add_spare(hands);
        self.logs.begin_at(next);
        for Resumed { id, line, source, hand } in logs {
            let Line { key, request, fifo, ending, .. } = line;
            self.news.push(News::Open(id, request.clone()));
            self.logs.resume(id, key.clone(), request.clone(), fifo, ending.is_some());
            self.relief.borrow_mut().add(id, Arc::clone(&source));
            self.writer.tell(Command::Resume(id, key, request, source, hand));
            if let Some(patience) = ending {
                self.writer.tell(Command::End(id, patience));
            }
        }
    }

    /// A round of the main loop, with what has come by now: all findings, and so many of the writer's reports.
    pub fn work(&mut self, store: &mut Store, mut reports: usize) {
        loop {
            let mut idle = true;
            while let Some(finding) = store.finding() {
                idle = false;
                self.found(finding, store);
            }
            while reports > 0
                && let Some(report) = self.reports.pop_front()
            {
                (idle, reports) = (false, reports - 1);
                self.reported(report);
            }
            while let Some(writer) = self.owed.pop() {
                self.kept.make_hand(writer).unwrap();
            }
            while let Some(safe) = self.kept.safe() {
                idle = false;
                match safe {
                    Safe::Log(stream, source) => {
                        self.writer.tell(Command::Begin(stream));
                        self.logs.opened(stream, source.fifo());
                        self.relief.borrow_mut().add(stream, source);
                    }
                    Safe::Hand(Some(_), hand) => self.writer.tell(Command::Hand(hand)),
                    Safe::Hand(None, hand) => self.relief.borrow_mut().set_hand(hand),
                    // This host has no guests.
                    Safe::Console(_) => {}
                }
            }
            while let Some(action) = self.logs.action() {
                idle = false;
                self.act(action, store);
            }
            if idle {
                return;
            }
        }
    }

    fn found(&mut self, finding: Finding, store: &mut Store) {
        match finding {
            Finding::Lost => self.logs.store_lost(),
            Finding::Connected => self.logs.entries().cloned().for_each(|key| store.look_at(key)),
            Finding::Seen(key, entry, began) => {
                let fifo = pipe::named(&self.logs.rules().run, entry.nodes[0].as_deref());
                self.logs.seen(&key, &Seen { entry, fifo, began });
            }
            Finding::Told(key, asked, at) => self.logs.told(&key, asked, at),
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Opened(stream, source) => {
                if let Some((account, key, request)) = self.opening.remove(&stream) {
                    self.kept.opened(stream, account, key, request, source);
                }
            }
            Report::Refused(stream, refusal) => {
                if let Some((account, ..)) = self.opening.remove(&stream) {
                    self.kept.give_account_back(account);
                }
                self.logs.refused(stream, refusal);
            }
            Report::Stuck(stream) => self.relief.borrow_mut().set_stuck(stream, true),
            Report::Well(stream) => self.relief.borrow_mut().set_stuck(stream, false),
            Report::Ended(stream) => {
                self.news.push(News::Over(stream));
                self.relief.borrow_mut().remove(stream);
                self.kept.ended(stream);
                self.logs.ended(stream);
            }
            Report::WantsHand => self.owed.push(Some(WriterId::FIRST)),
            Report::HandBack(hand) => self.kept.hand_back(&hand),
            Report::Stopped => {}
        }
    }

    fn act(&mut self, action: Action, store: &mut Store) {
        match action {
            Action::Open(stream, key, request) => {
                let Some(account) = self.kept.take_account() else {
                    return self.logs.refused(stream, Refusal::new(Code::TooMany, "no account"));
                };
                self.news.push(News::Open(stream, request.clone()));
                self.opening.insert(stream, (account, key.clone(), request.clone()));
                self.writer.tell(Command::Open(stream, key, request, account));
            }
            Action::Adjust(stream, request) => {
                self.news.push(News::Adjust(stream, request.clone()));
                self.kept.adjusted(stream, &request);
                self.writer.tell(Command::Adjust(stream, request));
            }
            Action::End(stream, patience) => {
                self.news.push(News::End(stream, patience));
                self.kept.ending(stream, patience);
                self.writer.tell(Command::End(stream, patience));
            }
            Action::LookAt(key) => store.look_at(key),
            Action::Answer(key, asked, fifo, state) => store.answer(key, asked, fifo, state),
            Action::Withdraw(key) => store.withdraw(&key),
            Action::Served(stream) => {
                self.kept.served(stream);
                if let Some(source) = self.relief.borrow().source(stream) {
                    source.set_served();
                }
            }
        }
    }

    /// A round of the writer. False when it has stopped.
    pub fn write(&mut self, now: Instant) -> bool {
        self.thread.round(|| now, Some(AT_ONCE), &mut self.events)
    }

    /// Hears what the writer reports; also after a kill, for the ledger.
    pub fn hear(&mut self) {
        while let Some(report) = self.writer.report() {
            match &report {
                Report::Opened(stream, source) => self.news.push(News::Opened(*stream, source.fifo())),
                Report::Ended(stream) => self.news.push(News::Closed(*stream)),
                Report::Refused(stream, _) => self.news.push(News::Refused(*stream)),
                _ => {}
            }
            self.reports.push_back(report);
        }
    }

    /// Marks what was dropped while the writer was late.
    pub fn mark(&mut self) {
        for stream in self.relief.borrow_mut().take_to_mark(|_| false) {
            self.writer.tell(Command::Mark(stream));
        }
    }

    /// All files are opened again.
    pub fn reopen(&mut self) {
        self.writer.tell(Command::Reopen);
    }

    /// The writer is told to stop.
    pub fn stop(&mut self) {
        self.writer.tell(Command::Stop(Instant::now() + Duration::from_secs(600)));
    }

    /// The account of a stream.
    pub fn ledger(&self, stream: StreamId) -> Option<Ledger> {
        self.relief.borrow().source(stream).map(crate::source::Source::ledger)
    }

    /// Whether nothing is under way in it.
    pub fn is_quiet(&self) -> bool {
        self.reports.is_empty() && self.opening.is_empty() && self.owed.is_empty()
    }
}
