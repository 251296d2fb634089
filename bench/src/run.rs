//! One start of a logger, what is written to it, and its account.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use crate::account::{self, Wanted};
use crate::clock::now;
use crate::disk::Disk;
use crate::lines::{self, LINE};
use crate::load::Load;
use crate::logger::Logger;
use crate::peers::Peer;
use crate::processes::Processes;
use crate::scene::{Order, Scene};
use crate::works::{Failure, Plan};

/// How long a load may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it still runs.
const CHECK: Duration = Duration::from_secs(1);

/// A logger in its scene.
pub struct Run<'a> {
    /// Which one.
    pub peer: &'a dyn Peer,
    /// Before the scene, which is removed when nothing runs in it any more.
    pub logger: Logger,
    /// Where it works.
    pub scene: Scene,
    /// Its own processes.
    pub processes: Processes,
    /// Bytes that were written to each log.
    pub written: u64,
}

/// What a load has cost.
#[derive(Debug)]
pub struct Cost {
    /// What the logger's processes have had of processors until they were at rest again.
    pub cpu: Duration,
    /// From the first write until the last line was in its file.
    pub wall: Duration,
    /// Bytes that were written, to all logs.
    pub bytes: u64,
    /// Bytes of files that the logger has made dirty and not given up again.
    pub charged: u64,
    /// Bytes that reached the disk, from everybody, if the files lie on one.
    pub disk: Option<u64>,
    /// Of single lines.
    pub latencies: Vec<Duration>,
}

impl Cost {
    /// Lines that were written.
    pub fn lines(&self) -> f64 {
        self.bytes as f64 / LINE as f64
    }

    /// GiB that were written.
    pub fn gib(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 30)
    }
}

impl<'a> Run<'a> {
    /// Starts a logger and waits until it is at rest.
    pub fn start(plan: Plan, peer: &'a dyn Peer, order: Order) -> Result<Run<'a>, Failure> {
        let run = Run::begin(plan, peer, order)?;
        run.with_words(run.processes.rest())?;
        Ok(run)
    }

    /// Starts a logger.
    pub fn begin(plan: Plan, peer: &'a dyn Peer, order: Order) -> Result<Run<'a>, Failure> {
        let scene = Scene::new(plan.data, order)?;
        let logger = peer.start(&scene).map_err(|error| with_words(&scene, &*error))?;
        let processes = logger.processes();
        let written = if order.is_waiting { LINE as u64 } else { 0 };
        Ok(Run { peer, logger, scene, processes, written })
    }

    /// Writes to all logs, waits until all is in the files, and says what it has cost.
    pub fn load(&mut self, load: &Load) -> Result<Cost, Failure> {
        self.load_and(load, PATIENCE, |_| Ok(()))
    }

    /// The same; meanwhile something is looked at, again and again after a pause.
    pub fn load_and(
        &mut self,
        load: &Load,
        pause: Duration,
        mut look: impl FnMut(&Run) -> Result<(), Failure>,
    ) -> Result<Cost, Failure> {
        let disk = Disk::of(self.scene.dir());
        let on_disk = || disk.as_ref().and_then(Disk::written);
        let (cpu, charged, before) = (self.processes.cpu()?, self.processes.charged()?, on_disk());
        let loading = load.start(&self.logger.pipes)?;
        let start = now();
        let mut next_check = start + CHECK;
        while !loading.wait(pause.min(CHECK))? {
            look(self)?;
            if now() > next_check {
                next_check = now() + CHECK;
                self.with_words(self.processes.check())?;
                if now() - start > PATIENCE {
                    return Err("it takes no more".into());
                }
            }
        }
        let loaded = self.with_words(loading.finish())?;
        self.written += loaded.each;
        let end = self.wait_until_stored()?;
        let cost = Cost {
            cpu: self.with_words(self.processes.rest())? - cpu,
            wall: end - loaded.began,
            bytes: loaded.each * self.scene.order.logs as u64,
            charged: self.processes.charged()?.saturating_sub(charged),
            disk: on_disk().zip(before).map(|(now, before)| now - before),
            latencies: loaded.latencies,
        };
        Ok(cost)
    }

    /// Waits until the last line of each log is in its files, and says when that was.
    pub fn wait_until_stored(&self) -> Result<Duration, Failure> {
        let Some(last) = (self.written / LINE as u64).checked_sub(1) else { return Ok(now()) };
        let mut pause = Duration::from_micros(100);
        let mut quiet = Quiet::new(self);
        for log in 0..self.scene.order.logs {
            while !self.ends_with(log, &lines::line(log, last))? {
                if quiet.has_lasted()? {
                    // Whatever is wrong shows in the account.
                    self.account(Wanted::All)?;
                    return Err("its last line does not come".into());
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(2));
            }
        }
        Ok(now())
    }

    fn ends_with(&self, log: usize, line: &[u8; LINE]) -> Result<bool, Failure> {
        let mut tail = Vec::new();
        for path in self.peer.files(&self.scene, log)?.iter().rev() {
            // It may just be on its way to another name.
            let Ok(mut file) = File::open(path) else { return Ok(false) };
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(4 * LINE as u64)))?;
            let mut end = Vec::new();
            file.read_to_end(&mut end)?;
            tail.splice(..0, end);
            if tail.len() >= 4 * LINE {
                break;
            }
        }
        Ok(self.peer.plain(tail).ends_with(line))
    }

    /// Holds all logs against what was written to them.
    pub fn account(&self, wanted: Wanted) -> Result<(), Failure> {
        (0..self.scene.order.logs).try_for_each(|log| self.account_of(log, self.written, wanted))
    }

    /// Holds one log against so many bytes that were written to it.
    pub fn account_of(&self, log: usize, written: u64, wanted: Wanted) -> Result<(), Failure> {
        let mut stored = Vec::new();
        for path in self.peer.files(&self.scene, log)? {
            stored.extend(fs::read(path)?);
        }
        let plain = self.peer.plain(stored);
        Ok(account::check(log, written, wanted, &plain).map_err(|wrong| format!("log {log}: {wrong}"))?)
    }

    /// Adds what the logger has said to what went wrong.
    pub fn with_words<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|error| with_words(&self.scene, &*error))
    }
}

/// Whether a logger still does something.
struct Quiet<'a> {
    run: &'a Run<'a>,
    next_check: Duration,
    cpu: Duration,
    checks: u32,
}

impl<'a> Quiet<'a> {
    /// Checks of a logger that has taken all and used no processor. One that waits for a disk looks the same for a while.
    const ENOUGH: u32 = 5;

    fn new(run: &'a Run<'a>) -> Quiet<'a> {
        Quiet { run, next_check: now() + CHECK, cpu: Duration::MAX, checks: 0 }
    }

    /// Whether nothing will come of it any more.
    fn has_lasted(&mut self) -> Result<bool, Failure> {
        if now() < self.next_check {
            return Ok(false);
        }
        self.next_check = now() + CHECK;
        self.run.with_words(self.run.processes.check())?;
        let cpu = self.run.processes.cpu()?;
        let is_quiet = cpu == self.cpu && self.run.logger.has_taken_all();
        (self.cpu, self.checks) = (cpu, if is_quiet { self.checks + 1 } else { 0 });
        Ok(self.checks == Self::ENOUGH)
    }
}

fn with_words(scene: &Scene, error: &dyn std::error::Error) -> Failure {
    let words = scene.last_words();
    if words.is_empty() { error.to_string().into() } else { format!("{error}; it said: {words}").into() }
}
