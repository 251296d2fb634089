//! Random use and abuse of a log, compared with a plain model of it after every step: what is in every file, and what
//! followers deliver.
//!
//! A failure prints its seed. `LOGFILE_MODEL_SEED=<seed>` replays that one; `LOGFILE_MODEL_SEEDS=<count>` tries so
//! many, `LOGFILE_MODEL_STEPS=<count>` makes each so many steps long.

mod reader;
mod reference;
#[path = "../scene/mod.rs"]
mod scene;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use logfile::{Bounds, Follower, LogFile, Next, Scratch, Start};
use reader::{Got, Reader, push};
use reference::{Reference, end};
use rustix::pipe::{PipeFlags, pipe_with};
use scene::{NAME, Scene};

/// SplitMix64: good enough to choose by, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is at least 1.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bounds(&mut self) -> Bounds {
        Bounds { limit: 1 + self.below(60), copies: u32::try_from(self.below(5)).unwrap() }
    }

    /// Lines, long lines, unfinished lines, nothing: each byte tells its neighbours apart.
    fn chunk(&mut self) -> Vec<u8> {
        let len = [0, 1, 5, 20, 60, 200][usize::try_from(self.below(6)).unwrap()];
        let line = 1 + self.below(40);
        let len = self.below(len + 1);
        (0..len)
            .map(|_| if self.below(line) == 0 { b'\n' } else { b'!' + u8::try_from(self.below(90)).unwrap() })
            .collect()
    }
}

/// The log, its model, and those who follow both.
struct Run {
    dice: Dice,
    scene: Scene,
    log: Option<LogFile>,
    reference: Reference,
    readers: Vec<(Follower, Reader)>,
    pipe: (OwnedFd, OwnedFd),
    scratch: Scratch,
    /// Nobody but the writer ever added to the log, and its bounds never became narrower: then it is within them.
    tame: bool,
    history: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let scene = Scene::new();
        let bounds = dice.bounds();
        let log = Some(scene.open(bounds.limit, bounds.copies).unwrap());
        Self {
            dice,
            scene,
            log,
            reference: Reference::new(bounds),
            readers: Vec::new(),
            pipe: pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap(),
            scratch: Scratch::new().unwrap(),
            tame: true,
            history: vec![format!("{bounds:?}")],
        }
    }

    fn log(&mut self) -> &mut LogFile {
        self.log.as_mut().unwrap()
    }

    fn step(&mut self) {
        match self.dice.below(30) {
            0..=5 => self.append_from_memory(),
            6..=11 => self.append_from_pipe(),
            12 => {
                self.note("rotate");
                self.log().rotate().unwrap();
                self.reference.rotate();
            }
            13 => {
                self.note("check");
                self.log().check().unwrap();
                self.reference.check();
            }
            14 => {
                self.note("reopen");
                self.log().reopen().unwrap();
                self.reference.reopen();
            }
            15 => {
                let bounds = self.dice.bounds();
                self.note(&format!("set {bounds:?}"));
                self.tame = false;
                self.log().set_bounds(bounds).unwrap();
                self.reference.set_bounds(bounds);
            }
            16 => self.restart(),
            17..=20 => self.follow(),
            21 => self.truncate(),
            22 => self.add(),
            23 => self.remove(),
            24 => self.remove_copy(),
            25 => self.rename(),
            26 => self.replace(),
            _ => self.drain(),
        }
        self.compare();
    }

    fn note(&mut self, what: &str) {
        self.history.push(what.to_owned());
    }

    fn append_from_memory(&mut self) {
        let chunk = self.dice.chunk();
        self.note(&format!("append {:?}", String::from_utf8_lossy(&chunk)));
        self.log().append(&chunk).unwrap();
        self.reference.append(&chunk);
    }

    /// From a pipe that always holds a little more than is asked for.
    fn append_from_pipe(&mut self) {
        let (chunk, more) = (self.dice.chunk(), self.dice.chunk());
        self.note(&format!("append from pipe {:?}", String::from_utf8_lossy(&chunk)));
        rustix::io::write(&self.pipe.1, &[&chunk[..], &more[..]].concat()).unwrap();
        let log = self.log.as_mut().unwrap();
        log.append_from_pipe(self.pipe.0.as_fd(), chunk.len(), &mut self.scratch).unwrap();
        self.reference.append(&chunk);
        if !more.is_empty() {
            let mut left = vec![0; more.len() + 1];
            let len = rustix::io::read(&self.pipe.0, &mut left).unwrap();
            assert_eq!(left[..len], more);
        }
    }

    /// Another writer takes over. What happens in between it cannot know, so it may use numbers twice: followers of
    /// before are let go if anything did.
    fn restart(&mut self) {
        let bounds = if self.dice.below(2) == 0 { self.reference.bounds } else { self.dice.bounds() };
        self.note(&format!("restart with {bounds:?}"));
        self.tame &= bounds == self.reference.bounds;
        self.log = None;
        if self.reference.is_disturbed() || self.dice.below(3) == 0 {
            self.truncate();
            self.readers.clear();
        }
        self.log = Some(self.scene.open(bounds.limit, bounds.copies).unwrap());
        self.reference.open(bounds);
    }

    fn truncate(&mut self) {
        if self.reference.is_disturbed() {
            return;
        }
        let len = self.dice.below(self.reference.size + 1);
        let len = if self.dice.below(2) == 0 { 0 } else { len };
        self.note(&format!("truncate to {len}"));
        OpenOptions::new().write(true).open(self.scene.path(0)).unwrap().set_len(len).unwrap();
        let live = &self.reference.names[&0];
        live.borrow_mut().bytes.truncate(usize::try_from(len).unwrap());
    }

    fn add(&mut self) {
        if self.reference.is_disturbed() {
            return;
        }
        let chunk = self.dice.chunk();
        self.note(&format!("an outsider adds {:?}", String::from_utf8_lossy(&chunk)));
        self.tame = false;
        OpenOptions::new().append(true).open(self.scene.path(0)).unwrap().write_all(&chunk).unwrap();
        self.reference.names[&0].borrow_mut().bytes.extend(chunk);
    }

    fn remove(&mut self) {
        if !self.reference.is_named() {
            return;
        }
        self.note("remove");
        fs::remove_file(self.scene.path(0)).unwrap();
        self.reference.names.remove(&0);
    }

    fn remove_copy(&mut self) {
        let copies: Vec<u32> = self.reference.names.range(1..).map(|(number, _)| *number).collect();
        if copies.is_empty() {
            return;
        }
        let number = copies[usize::try_from(self.dice.below(copies.len() as u64)).unwrap()];
        self.note(&format!("remove copy {number}"));
        fs::remove_file(self.scene.path(number)).unwrap();
        self.reference.names.remove(&number);
    }

    fn rename(&mut self) {
        if !self.reference.is_named() {
            return;
        }
        self.note("rename");
        fs::rename(self.scene.path(0), self.scene.root().join(away(self.reference.away.len()))).unwrap();
        let live = self.reference.names.remove(&0).unwrap();
        self.reference.away.push(live);
    }

    /// Another file gets the name of the live one.
    fn replace(&mut self) {
        if self.reference.names.contains_key(&0) {
            return;
        }
        let chunk = self.dice.chunk();
        self.note(&format!("replace with {:?}", String::from_utf8_lossy(&chunk)));
        self.tame = false;
        self.scene.put(0, &chunk);
        self.reference.names.entry(0).or_default().borrow_mut().bytes = chunk;
    }

    /// Somebody begins to follow, somewhere.
    fn follow(&mut self) {
        let names = &self.reference.names;
        if self.readers.len() >= 4 || names.is_empty() || names.values().any(|file| file.borrow().mark.is_none()) {
            return;
        }
        let (start, reader, missed) = match self.dice.below(4) {
            0 => {
                let (_, oldest) = names.last_key_value().unwrap();
                (Start::Oldest, Reader::at(oldest, 0), vec![])
            }
            1 => {
                let (_, newest) = names.first_key_value().unwrap();
                (Start::End, Reader::at(newest, newest.borrow().bytes.len() as u64), vec![])
            }
            2 => {
                let lines = self.dice.below(8);
                (Start::Lines(lines), last_lines(&self.reference, lines), vec![])
            }
            _ => {
                let end = names.values().filter_map(end).max().unwrap();
                let offset = self.dice.below(end + 1);
                let (reader, missed) = Reader::from_offset(&self.reference, offset);
                (Start::Offset(offset), reader, missed)
            }
        };
        self.note(&format!("follow from {start:?}"));
        let mut follower = Follower::open(&self.scene.dir, OsStr::new(NAME), start).unwrap();
        let mut reader = reader;
        let mut expected = missed;
        for got in reader.drain(&self.reference) {
            push(&mut expected, got);
        }
        assert_eq!(drain(&mut follower, &mut self.dice), expected);
        self.readers.push((follower, reader));
    }

    /// One who follows looks what is new, and may have seen enough.
    fn drain(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let which = usize::try_from(self.dice.below(self.readers.len() as u64)).unwrap();
        self.note(&format!("follower {which} reads"));
        let (follower, reader) = &mut self.readers[which];
        assert_eq!(drain(follower, &mut self.dice), reader.drain(&self.reference));
        assert_eq!(follower.offset(), Some(reader.offset));
        if self.dice.below(8) == 0 {
            self.readers.remove(which);
        }
    }

    fn compare(&mut self) {
        let mut expected = BTreeMap::new();
        for (number, file) in &self.reference.names {
            let name = self.scene.path(*number).file_name().unwrap().to_str().unwrap().to_owned();
            expected.insert(name, file.borrow().bytes.clone());
        }
        for (number, file) in self.reference.away.iter().enumerate() {
            expected.insert(away(number), file.borrow().bytes.clone());
        }
        assert_eq!(self.scene.files(), expected);
        let log = self.log.as_ref().unwrap();
        assert_eq!((log.size(), log.offset()), (self.reference.size, self.reference.offset));
        let Bounds { limit, copies } = self.reference.bounds;
        assert!(!self.tame || self.reference.total() <= limit * (u64::from(copies) + 1));
        assert!(!self.tame || self.reference.names.values().all(|file| file.borrow().bytes.len() as u64 <= limit));
    }
}

fn away(number: usize) -> String {
    format!("away-{number}")
}

/// Reads until the follower is up to date, with a buffer of any size.
fn drain(follower: &mut Follower, dice: &mut Dice) -> Vec<Got> {
    let mut got = Vec::new();
    let mut buffer = vec![0; usize::try_from(1 + dice.below(100)).unwrap()];
    loop {
        match follower.read(&mut buffer).unwrap() {
            Next::Bytes(len) => push(&mut got, Got::Bytes(buffer[..len].to_vec())),
            Next::Missed(missed) => push(&mut got, Got::Missed(missed.expect("it is known how many"))),
            Next::UpToDate => return got,
        }
    }
}

/// Where the last lines begin: counted in the log as a whole.
fn last_lines(log: &Reference, lines: u64) -> Reader {
    let files: Vec<_> = log.names.values().rev().collect();
    let all: Vec<u8> = files.iter().flat_map(|file| file.borrow().bytes.clone()).collect();
    let mut starts: Vec<usize> =
        (1..all.len()).filter(|at| all[at - 1] == b'\n').chain((!all.is_empty()).then_some(0)).collect();
    starts.sort_unstable();
    let lines = usize::try_from(lines).unwrap();
    let mut at = match lines {
        0 => all.len(),
        _ if lines > starts.len() => 0,
        _ => starts[starts.len() - lines],
    };
    // At the boundary of two files it does not matter which; the older one, unless all is to be passed over.
    for file in &files {
        let len = file.borrow().bytes.len();
        if at < len {
            return Reader::at(file, at as u64);
        }
        at -= len;
    }
    let newest = files.last().unwrap();
    Reader::at(newest, newest.borrow().bytes.len() as u64)
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn a_log_is_what_its_model_says() {
    let steps = from_env("LOGFILE_MODEL_STEPS").unwrap_or(400);
    let seeds = match from_env("LOGFILE_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("LOGFILE_MODEL_SEEDS").unwrap_or(60),
    };
    for seed in seeds {
        let mut run = Run::new(seed);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..steps {
                run.step();
            }
        }));
        if let Err(panic) = failed {
            let last = run.history.len().saturating_sub(40);
            eprintln!("the last steps:\n  {}", run.history[last..].join("\n  "));
            eprintln!("to see it again: LOGFILE_MODEL_SEED={seed} LOGFILE_MODEL_STEPS={steps}");
            std::panic::resume_unwind(panic);
        }
    }
}
