//! Many logs with their writers: started together, ended together, judged together.

use std::sync::Arc;

use rustix::fs::unlink;
use testbed::until;

use super::host::{Host, Log, domain};
use super::random::Random;
use super::report::Report;
use super::unit::Unit;
use super::verdict::Verdict;
use super::writer::{Gate, Style, Tally, Writer, waiting};

/// A log, who writes to it, and how.
struct Member {
    log: Log,
    seed: u64,
    stamped: bool,
    /// The write end, to see what is in the pipe.
    end: std::fs::File,
    writer: Writer,
}

/// Logs with writers at work.
pub struct Crowd {
    pub tally: Arc<Tally>,
    pub gate: Arc<Gate>,
    members: Vec<Member>,
}

/// How the logs of a crowd are asked for and written to.
#[derive(Clone, Debug)]
pub struct Kind {
    pub count: u16,
    /// In the ids of its logs.
    pub name: &'static str,
    pub policy: &'static str,
    /// Every so many-th one has times.
    pub stamped: u16,
    pub limit: u64,
    pub copies: u32,
    /// The directory of its files below the log directory.
    pub dir: &'static str,
    /// Whether a full pipe is an error for its writers instead of a wait.
    pub impatient: bool,
    pub style: Style,
}

impl Crowd {
    /// Asks for the logs, waits until they are served, and has the writers begin.
    pub fn start(host: &Host, kind: &Kind, random: &mut Random) -> Crowd {
        let logs: Vec<Log> = (0..kind.count).map(|number| ask(host, kind, number)).collect();
        let (tally, gate) = (Arc::new(Tally::default()), Arc::new(Gate::default()));
        let mut members = Vec::new();
        for (number, log) in (0..kind.count).zip(logs) {
            log.ready();
            let (end, seed) = (if kind.impatient { log.impatient_end() } else { log.end() }, random.next());
            let writer = Writer::start(end.try_clone().unwrap(), seed, kind.style.clone(), &tally, &gate);
            members.push(Member { log, seed, stamped: is_stamped(kind, number), end, writer });
        }
        Crowd { tally, gate, members }
    }

    /// Removes the entries and the FIFOs of the first so many, as a toolstack does when a domain is gone before its
    /// QEMU.
    pub fn remove(&self, count: usize, random: &mut Random) {
        for member in &self.members[..count] {
            if random.one_in(2) {
                member.log.remove();
            }
            // Its name is gone where the daemon saw the entry go.
            let _ = unlink(&member.log.pipe);
            if member.log.is_in_store() {
                member.log.remove();
            }
        }
    }

    /// The log of one member and the seed of its text.
    pub fn member(&self, number: usize) -> (&Log, u64) {
        (&self.members[number].log, self.members[number].seed)
    }

    /// Has all writers rest, and waits until all that they wrote is in the files. [`Gate::open`] lets them go on.
    pub fn pause(&self) {
        self.gate.close();
        self.gate.wait_for(self.members.len());
        let sizes = || self.members.iter().map(|member| size(&member.log)).sum::<u64>();
        until("all pipes to be empty", || self.members.iter().all(|member| waiting(&member.end) == 0).then_some(()));
        let mut last = 0;
        until("files that do not grow", || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            (std::mem::replace(&mut last, sizes()) == sizes()).then_some(())
        });
    }

    /// Ends all writers and waits until nothing is left in their pipes.
    pub fn end(self) -> Ended {
        self.members.iter().for_each(|member| member.writer.stop());
        let ended = self.members.into_iter().map(|Member { log, seed, stamped, end, writer }| {
            let written = writer.join();
            EndedMember { log, seed, stamped, written, end }
        });
        let members: Vec<EndedMember> = ended.collect();
        for member in &members {
            until(&format!("an empty pipe of {}", member.log.path), || (waiting(&member.end) == 0).then_some(()));
        }
        Ended { members }
    }
}

struct EndedMember {
    log: Log,
    seed: u64,
    stamped: bool,
    written: u64,
    end: std::fs::File,
}

/// Logs whose writers are done.
pub struct Ended {
    members: Vec<EndedMember>,
}

impl Ended {
    /// Holds the files against what was written. To be asked when the daemon has ended, or has nothing left to do.
    pub fn judge(&self) -> Verdict {
        let mut all = Verdict::default();
        for EndedMember { log, seed, stamped, written, .. } in &self.members {
            all.add(Verdict::of(&log.file, *seed, *written, *stamped));
        }
        all
    }
}

/// Ends everybody: what is missing from logs that may drop is told where it is missing, and from the others nothing is.
pub fn judge(report: &mut Report, drops: Crowd, blocks: Crowd, unit: Unit) {
    report.tally("drop", &drops.tally);
    report.tally("block", &blocks.tally);
    let tallies = [&drops.tally, &blocks.tally].map(Arc::clone);
    let [drops, blocks] = [drops, blocks].map(Crowd::end);
    let said = unit.stop();
    let [drops, blocks] = [drops, blocks].map(|ended| ended.judge());
    report.verdict("drop", &drops);
    report.verdict("block", &blocks);
    assert!(drops.is_balanced() && drops.gaps > 0, "{drops:?}\n{said}");
    assert!(blocks.is_balanced() && blocks.dropped == 0, "{blocks:?}\n{said}");
    assert_eq!(tallies.map(|tally| tally.broken()), [0; 2]);
}

fn size(log: &Log) -> u64 {
    log.sizes().into_iter().map(|(_, size)| size).sum()
}

fn ask(host: &Host, kind: &Kind, number: u16) -> Log {
    let log = host.log(domain(1 + number), kind.name);
    let file = host.log_dir().join(kind.dir).join(log.file.file_name().unwrap());
    let log = log.file(file).limit(kind.limit).copies(kind.copies).node("policy", kind.policy);
    let log = if is_stamped(kind, number) { log.node("timestamp", "line") } else { log };
    log.ask();
    log
}

fn is_stamped(kind: &Kind, number: u16) -> bool {
    kind.stamped > 0 && number.is_multiple_of(kind.stamped)
}
