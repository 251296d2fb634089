//! What processes cost, from /proc.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::works::Failure;

/// The processes of a logger.
#[derive(Clone, Debug, Default)]
pub struct Processes(Vec<Pid>);

impl From<Vec<Pid>> for Processes {
    fn from(all: Vec<Pid>) -> Processes {
        Processes(all)
    }
}

impl Processes {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How long their threads have had a processor so far (Documentation/scheduler/sched-stats.rst in Linux).
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let mut sum = 0;
        for thread in self.threads()? {
            // A thread that has just ended had nothing more to do.
            let Ok(text) = fs::read_to_string(thread.join("schedstat")) else { continue };
            sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Waits until they have had no processor for 50 ms, and gives what they have used.
    pub fn rest(&self) -> Result<Duration, Failure> {
        let mut used = self.cpu()?;
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(50));
            let before = std::mem::replace(&mut used, self.cpu()?);
            if used == before {
                return Ok(used);
            }
        }
        Err("it does not come to rest".into())
    }

    /// Their share of memory, in KiB: pages that several processes have are divided among them.
    pub fn pss(&self) -> Result<u64, Failure> {
        self.sum("smaps_rollup", "Pss:")
    }

    /// Bytes of files that they have made dirty, less those that were given up before they were written out.
    pub fn charged(&self) -> Result<u64, Failure> {
        let (dirty, given_up) = (self.sum("io", "write_bytes:")?, self.sum("io", "cancelled_write_bytes:")?);
        Ok(dirty.saturating_sub(given_up))
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> Result<usize, Failure> {
        let mut sum = 0;
        for pid in &self.0 {
            sum += fs::read_dir(proc(*pid, "fd"))?.count();
        }
        Ok(sum)
    }

    /// Has all threads run on one processor only.
    pub fn pin(&self, cpu: usize) -> Result<(), Failure> {
        for thread in self.threads()? {
            let number = thread.file_name().and_then(|name| name.to_str()).unwrap_or_default().parse()?;
            sched_setaffinity(Pid::from_raw(number), &only(cpu))?;
        }
        Ok(())
    }

    /// Fails if one has ended.
    pub fn check(&self) -> Result<(), Failure> {
        for pid in &self.0 {
            let stat = fs::read_to_string(proc(*pid, "stat")).unwrap_or_default();
            let state = stat.rfind(')').and_then(|at| stat[at..].chars().nth(2));
            if matches!(state, None | Some('Z' | 'X')) {
                return Err(format!("process {pid} has ended").into());
            }
        }
        Ok(())
    }

    fn sum(&self, file: &str, key: &str) -> Result<u64, Failure> {
        let mut sum = 0;
        for pid in &self.0 {
            let text = fs::read_to_string(proc(*pid, file))?;
            let value = text.lines().find_map(|line| line.strip_prefix(key)).ok_or("a key that /proc does not have")?;
            sum += value.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(sum)
    }

    fn threads(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut all = Vec::new();
        for pid in &self.0 {
            let threads =
                fs::read_dir(proc(*pid, "task")).map_err(|error| format!("process {pid} has ended: {error}"))?;
            all.extend(threads.flatten().map(|thread| thread.path()));
        }
        Ok(all)
    }
}

/// Two processors that this process may use, if it may use two.
pub fn two_processors() -> Option<(usize, usize)> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut all = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    Some((all.next()?, all.next()?))
}

/// Has this thread run on one processor only.
pub fn pin_self(cpu: usize) -> Result<(), Failure> {
    Ok(sched_setaffinity(None, &only(cpu))?)
}

fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}

fn proc(pid: Pid, file: &str) -> PathBuf {
    format!("/proc/{pid}/{file}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let own = Processes::from(vec![rustix::process::getpid()]);
        own.check().unwrap();
        let before = own.cpu().unwrap();
        let used = testbed::until("a processor's time", || own.cpu().ok().filter(|used| *used > before));
        assert!(used > before);
        assert!(own.pss().unwrap() > 100 && own.descriptors().unwrap() > 2);
        own.charged().unwrap();
    }

    #[test]
    fn a_process_that_has_ended_is_noticed() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Processes::from(vec![Pid::from_child(&child)]);
        testbed::until("its end", || ended.check().err());
        child.wait().unwrap();
        assert!(ended.check().is_err());
    }
}
