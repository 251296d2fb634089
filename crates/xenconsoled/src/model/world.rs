//! The host of the model, and what happens to it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use logfile::Dir;
use logproto::{Bounds, Config, Request, RootPath, Rules, Stamp};
use rustix::io::Errno;
use tempfile::TempDir;

use super::chance::Chance;
use super::keeper::Keeper;
use super::life::{Life, News};
use super::store::Store;
use super::tail::{Stamping, Tail};
use super::toolstack::Toolstack;
use super::{crash, disk};
use crate::book::Book;
use crate::budget::Rate;
use crate::logs::{FifoId, Patience, StreamId};
use crate::relief::Relief;
use crate::writer::Places;

/// How long a log whose entry is gone is read on.
const DRAIN: Duration = Duration::from_secs(10);

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Steps.
    pub steps: u64,
    /// Kills in the middle of something.
    pub kills_inside: u64,
    /// Kills between two steps, or at an end that was asked for.
    pub kills_between: u64,
    /// Daemons that were started.
    pub starts: u64,
    /// Operations on files that failed.
    pub faults: u64,
    /// Times that something was dropped.
    pub reliefs: u64,
    /// Markers read.
    pub markers: u64,
    /// Logs that were opened.
    pub opened: u64,
    /// Bytes written to FIFOs.
    pub bytes: u64,
    /// Of these, dropped.
    pub dropped: u64,
    /// Of these, given up at the end of a log.
    pub lost: u64,
}

/// A log while it is served, as the ledger has it.
#[derive(Debug)]
pub struct Served {
    /// What was asked for.
    pub request: Request,
    /// Its FIFO, once that is open.
    pub run: Option<usize>,
    /// Whether its lines have the time.
    pub stamping: Stamping,
    /// Bytes that had been dropped from the FIFO before.
    pub before: usize,
    /// How it is to come to its end.
    pub patience: Option<Patience>,
    /// Its file and its pipe are closed.
    pub closed: bool,
    /// With that: where the file had come to before, and how many bytes were given up.
    pub given_up: (usize, usize),
    /// Bytes that were counted, and are in the file: it could not even be seen how many.
    pub counted_too: usize,
    /// A daemon that was killed served it before.
    pub goes_on: bool,
}

/// The host.
pub struct World {
    pub(super) chance: Chance,
    _dir: TempDir,
    rules: Rules,
    places: Places,
    logs: Dir,
    pub(super) toolstack: Rc<RefCell<Toolstack>>,
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    pub(super) life: Option<Life>,
    pub(super) book: Book,
    pub(super) served: BTreeMap<StreamId, Served>,
    pub(super) tails: BTreeMap<OsString, Tail>,
    /// Which stream writes a file.
    pub(super) writes: BTreeMap<OsString, StreamId>,
    now: Instant,
    /// FIFOs are written to while the writer is at work.
    pub(super) meanwhile: bool,
    /// Nothing happens by itself.
    calm: bool,
    /// What happened, for who wants to know why.
    pub trace: Vec<String>,
    /// What happened, in numbers.
    pub counts: Counts,
}

impl World {
    /// A host where nothing has happened yet.
    pub fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (run, log) = (dir.path().join("run"), dir.path().join("log"));
        std::fs::create_dir(&run).unwrap();
        std::fs::create_dir(&log).unwrap();
        let Config { defaults, .. } = Config::default();
        let root = |path: &PathBuf| RootPath::new(path);
        let rules = Rules { run: root(&run), log: root(&log), defaults, bounds: Bounds::default() };
        let rates = [(0, 0), (0, 0), (0, 0), (1 << 20, 1 << 18)];
        let (bytes, burst) = chance.one_of(&rates);
        let places =
            Places { run: root(&run), log: root(&log), console: None, drain: DRAIN, rate: Rate { bytes, burst } };
        disk::begin(Some(Chance::new(chance.number())));
        crash::set(None);
        World {
            toolstack: Rc::new(RefCell::new(Toolstack::new(&run, &log))),
            store: Store::new(),
            keeper: Keeper::new(&run),
            life: None,
            book: Book::open(&run).unwrap(),
            served: BTreeMap::new(),
            tails: BTreeMap::new(),
            writes: BTreeMap::new(),
            now: Instant::now(),
            meanwhile: false,
            calm: false,
            trace: Vec::new(),
            counts: Counts::default(),
            logs: Dir::open(&log).unwrap(),
            chance,
            _dir: dir,
            rules,
            places,
        }
    }

    /// A host where nothing happens by itself.
    pub fn calm() -> World {
        let world = World { calm: true, ..World::new(1) };
        disk::begin(None);
        world
    }

    /// Something happens; then every byte is looked for.
    pub fn step(&mut self) -> Result<(), String> {
        self.counts.steps += 1;
        let what = self.happen()?;
        self.trace.push(what);
        self.toolstack.borrow_mut().look(&self.store);
        self.hear_news()?;
        self.audit()
    }

    fn happen(&mut self) -> Result<String, String> {
        if self.life.is_none() && self.chance.one_in(4) {
            return self.start();
        }
        self.now += Duration::from_micros(self.chance.below(20_000) as u64);
        if self.chance.one_in(8) {
            crash::set(Some(self.chance.length(40) as u32 - 1));
        }
        let what = match self.chance.below(100) {
            0..30 => self.toolstack.borrow_mut().write(&mut self.chance),
            30..36 => self.toolstack.borrow_mut().act(&mut self.store, &mut self.chance),
            36..60 => self.write()?,
            60..80 => self.work()?,
            80..86 => self.relieve()?,
            86..90 => self.disk(),
            90..92 => {
                let seconds = self.chance.one_of(&[1, 3, 11]);
                self.now += Duration::from_secs(seconds);
                format!("{seconds} s pass")
            }
            92..94 => {
                let up = !self.store.is_up();
                self.store.set_up(up);
                format!("the store is {}", if up { "back" } else { "lost" })
            }
            94 => self.live("all files are opened again", Life::reopen)?,
            95 => self.stop()?,
            96..99 => {
                crash::set(None);
                self.counts.kills_between += u64::from(self.life.is_some());
                self.bury()?;
                "killed".into()
            }
            _ => self.settle()?,
        };
        crash::set(None);
        Ok(what)
    }

    /// Time passes.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Runs something of the daemon's, if there is one, which may be killed.
    fn live(&mut self, what: &str, run: impl FnOnce(&mut Life)) -> Result<String, String> {
        let Some(life) = &mut self.life else { return Ok(format!("{what}, if there were a daemon")) };
        if crash::survive(|| run(life)).is_ok() {
            return Ok(what.to_owned());
        }
        self.counts.kills_inside += 1;
        disk::set_meanwhile(None);
        self.bury()?;
        Ok(format!("{what}: killed"))
    }

    pub(super) fn start(&mut self) -> Result<String, String> {
        if !self.calm && self.chance.one_in(6) {
            crash::set(Some(self.chance.length(20) as u32 - 1));
        }
        self.store.disconnect();
        self.counts.starts += 1;
        let started = crash::survive(|| Life::start(&self.rules, &self.places, &mut self.keeper));
        crash::set(None);
        let Ok(mut life) = started else {
            self.counts.kills_inside += 1;
            return Ok("killed while it starts".into());
        };
        let mut over: Vec<StreamId> = self.served.keys().copied().collect();
        for news in life.news.drain(..) {
            let News::Open(stream, _) = news else { continue };
            over.retain(|other| *other != stream);
            let served = self.served.get_mut(&stream).ok_or(format!("{stream:?} was never opened"))?;
            served.goes_on = true;
            if let Some(number) = served.run
                && std::mem::take(&mut served.closed)
            {
                // The daemon was killed before anything said that it is over: it goes on, and tells what was given up.
                let (run, (read, lost)) = (&mut self.toolstack.borrow_mut().runs[number], served.given_up);
                (run.read, run.lost) = (read, run.lost - lost);
            }
            if let Some(name) = served.request.file.relative().file_name() {
                self.writes.insert(name.to_owned(), stream);
            }
        }
        self.life = Some(life);
        for stream in over {
            self.forget(stream);
        }
        Ok("started".into())
    }

    pub(super) fn work(&mut self) -> Result<String, String> {
        if self.calm || !self.chance.one_in(20) {
            self.keeper.read();
        }
        self.store.process((!self.calm).then_some(&mut self.chance));
        let reports = if !self.calm && self.chance.one_in(4) { self.chance.below(4) } else { usize::MAX };
        let Some(life) = &mut self.life else { return Ok("nobody works".into()) };
        let store = &mut self.store;
        if crash::survive(|| life.work(store, reports)).is_ok() {
            return Ok("the main thread works".into());
        }
        self.counts.kills_inside += 1;
        self.bury()?;
        Ok("the main thread works: killed".into())
    }

    pub(super) fn write(&mut self) -> Result<String, String> {
        let now = self.now;
        let Some(relief) = self.life.as_ref().map(|life| Rc::clone(&life.relief)) else {
            return Ok("nobody writes".into());
        };
        self.meanwhile = !self.calm && self.chance.one_in(3);
        if self.meanwhile {
            let (toolstack, mut chance) = (Rc::clone(&self.toolstack), Chance::new(self.chance.number()));
            disk::set_meanwhile(Some(Box::new(move || {
                for _ in 0..chance.below(4) {
                    toolstack.borrow_mut().write(&mut chance);
                }
                if chance.one_in(2) {
                    relieve(&toolstack, &relief, true);
                }
            })));
        }
        let what = self.live("the writer writes", |life| {
            life.write(now);
        })?;
        disk::set_meanwhile(None);
        if let Some(life) = &mut self.life {
            life.hear();
        }
        Ok(what)
    }

    pub(super) fn relieve(&mut self) -> Result<String, String> {
        let (toolstack, late) = (Rc::clone(&self.toolstack), !self.calm && self.chance.one_in(2));
        self.live(if late { "relief, late" } else { "relief" }, |life| {
            if !late {
                life.mark();
            }
            relieve(&toolstack, &life.relief, late);
        })
    }

    fn disk(&mut self) -> String {
        let names: Vec<OsString> = self.tails.keys().cloned().collect();
        if names.is_empty() || self.chance.one_in(2) {
            disk::heal();
            return "the disk is well".into();
        }
        let errno = self.chance.one_of(&[Errno::NOSPC, Errno::IO]);
        let room = if self.chance.one_in(2) { 0 } else { self.chance.length(30_000) };
        let chosen = if self.chance.one_in(3) {
            &names[..]
        } else {
            std::slice::from_ref(&names[self.chance.below(names.len())])
        };
        for name in chosen {
            disk::set(name, Some(disk::Trouble { room, errno }));
        }
        format!("{errno} behind {room} bytes of {chosen:?}")
    }

    pub(super) fn stop(&mut self) -> Result<String, String> {
        let now = self.now;
        let what = self.live("told to leave", |life| {
            life.stop();
            while life.write(now) {}
        })?;
        if let Some(life) = &mut self.life {
            life.hear();
            self.counts.kills_between += 1;
            self.bury()?;
        }
        Ok(what)
    }

    /// The daemon is no more.
    pub(super) fn bury(&mut self) -> Result<(), String> {
        crash::set(None);
        if let Some(life) = &mut self.life {
            life.hear();
        }
        self.hear_news()?;
        self.life = None;
        self.store.disconnect();
        self.keeper.read();
        self.read_tails()?;
        if !self.calm && self.chance.one_in(3) {
            self.rotate_halfway();
        }
        self.read_tails()
    }

    /// It was killed in the middle of a rotation.
    fn rotate_halfway(&mut self) {
        let served: Vec<&Request> = self.served.values().map(|served| &served.request).collect();
        if served.is_empty() {
            return;
        }
        let request = served[self.chance.below(served.len())];
        let path = |number: u32| request.file.copy(number).below(&self.rules.log);
        let Some(free) = (1..=request.copies).find(|number| !path(*number).exists()) else { return };
        let mut steps = self.chance.below(free as usize + 1);
        for number in (1..=free).rev().take_while(|_| (steps > 0, steps = steps.saturating_sub(1)).0) {
            let from = if number == 1 { request.file.below(&self.rules.log) } else { path(number - 1) };
            let _ = std::fs::rename(from, path(number));
        }
    }

    /// The writer has opened a FIFO.
    fn opened(&mut self, stream: StreamId, fifo: FifoId) {
        let mut toolstack = self.toolstack.borrow_mut();
        let Some(served) = self.served.get_mut(&stream) else { return };
        let Some(run) = toolstack.run_of(fifo) else { return };
        (served.run, served.before) = (Some(run), toolstack.runs[run].dropped());
        toolstack.runs[run].blocks &= served.request.policy == logproto::Policy::Block;
        let name = served.request.file.name().to_owned();
        self.tails.entry(name.clone()).or_insert_with(|| Tail::new(&self.logs, &name));
        self.writes.insert(name, stream);
        self.counts.opened += 1;
    }

    pub(super) fn hear_news(&mut self) -> Result<(), String> {
        let news = self.life.as_mut().map(|life| std::mem::take(&mut life.news)).unwrap_or_default();
        for news in news {
            match news {
                News::Open(stream, request) => {
                    let stamping = if request.stamp == Stamp::Line { Stamping::Yes } else { Stamping::No };
                    let served = Served {
                        request,
                        run: None,
                        stamping,
                        before: 0,
                        patience: None,
                        closed: false,
                        given_up: (0, 0),
                        counted_too: 0,
                        goes_on: false,
                    };
                    self.served.insert(stream, served);
                }
                News::Adjust(stream, request) => {
                    if let Some(served) = self.served.get_mut(&stream) {
                        if served.request.stamp != request.stamp {
                            served.stamping = Stamping::Maybe;
                        }
                        served.request = request;
                    }
                }
                News::Opened(stream, fifo) => self.opened(stream, fifo),
                News::End(stream, patience) => {
                    if let Some(served) = self.served.get_mut(&stream) {
                        served.patience = Some(patience);
                    }
                }
                News::Closed(stream) => self.closed(stream)?,
                News::Refused(stream) | News::Over(stream) => self.forget(stream),
            }
        }
        Ok(())
    }

    /// A stream is over.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.served.remove(&stream);
        self.writes.retain(|_, other| *other != stream);
    }

    /// All is well again, and so much time passes that everything is written that will be.
    pub(super) fn settle(&mut self) -> Result<String, String> {
        crash::set(None);
        disk::heal();
        self.store.set_up(true);
        while self.life.is_none() {
            self.start()?;
        }
        // What the last one was killed over is seen now, or in the files as what nobody wrote.
        self.audit()?;
        for _ in 0..3000 {
            self.now += Duration::from_millis(100);
            self.work()?;
            self.write()?;
            self.toolstack.borrow_mut().look(&self.store);
            self.relieve()?;
            self.hear_news()?;
            self.read_tails()?;
            if self.is_settled() {
                self.audit()?;
                self.check_settled()?;
                return Ok("all is well, and settles".into());
            }
        }
        Err(format!("it does not settle: {}", self.unsettled()))
    }

    /// The end of it: all is well again, and everything is there.
    pub fn end(&mut self) -> Result<(), String> {
        self.settle()?;
        self.tails.values().try_for_each(Tail::compare)?;
        let toolstack = self.toolstack.borrow();
        let sum = |of: fn(&super::run::Run) -> usize| toolstack.runs.iter().map(of).sum::<usize>() as u64;
        self.counts.bytes = sum(|run| run.sent().len());
        self.counts.dropped = sum(super::run::Run::dropped);
        self.counts.lost = sum(|run| run.lost);
        self.counts.markers = self.tails.values().map(|tail| tail.markers).sum();
        self.counts.faults = disk::failed();
        self.counts.reliefs = disk::reliefs();
        Ok(())
    }
}

/// What the main thread does for full pipes. What it takes out of them is dropped, whether it comes to count it or not.
pub(super) fn relieve(toolstack: &RefCell<Toolstack>, relief: &RefCell<Relief>, late: bool) {
    let before: Vec<usize> = toolstack.borrow().runs.iter().map(super::run::Run::taken).collect();
    let relieved = crash::survive(|| relief.borrow_mut().relieve(late, |_| late));
    for (run, before) in toolstack.borrow_mut().runs.iter_mut().zip(before) {
        let after = run.taken();
        if after > before {
            assert!(!run.blocks, "bytes of a log that is to block were dropped");
            run.add_dropped(before..after);
            disk::count_relief();
        }
    }
    if let Err(killed) = relieved {
        crash::die(killed);
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.steps += other.steps;
        self.kills_inside += other.kills_inside;
        self.kills_between += other.kills_between;
        self.starts += other.starts;
        self.faults += other.faults;
        self.reliefs += other.reliefs;
        self.markers += other.markers;
        self.opened += other.opened;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
        self.lost += other.lost;
    }
}
