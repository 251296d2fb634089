//! FIFOs that a client left which was killed half-way, found and removed by a rule that cannot hit a live one.
//!
//! A client of this project names its FIFOs `xenlog-…`, makes one just before it writes the entry that names it, and gives up
//! after seconds. So one that no log has, that nobody has open for writing, and that was just so at a look ten minutes ago by a
//! clock that does not jump, is nobody's.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

use crate::logs::FifoId;
use crate::pipe;

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(600);
/// FIFOs of clients of this project are named so.
const PREFIX: &[u8] = b"xenlog-";

/// What was nobody's at the last look.
#[derive(Debug)]
pub struct Stale {
    seen: HashMap<OsString, FifoId>,
    looked: Instant,
}

impl Stale {
    /// The first look is after [`EVERY`].
    pub fn new(now: Instant) -> Stale {
        Stale { seen: HashMap::new(), looked: now }
    }

    /// When the next look is due.
    pub fn due(&self) -> Instant {
        self.looked + EVERY
    }

    /// Looks through the run directory, if that is due, and removes what was nobody's at the last look either. `is_ours` says
    /// whether a log has this FIFO.
    pub fn look(&mut self, run: &Path, now: Instant, is_ours: impl Fn(FifoId) -> bool) {
        if now < self.due() {
            return;
        }
        self.looked = now;
        let old = std::mem::take(&mut self.seen);
        for (name, id) in nobodys(run, is_ours) {
            if old.get(&name) == Some(&id) {
                tracing::info!("removing {}: a client that is no more left it", run.join(&name).display());
                // The name could only lead elsewhere by now if somebody had removed it: then it is gone as well.
                let _ = std::fs::remove_file(run.join(&name));
            } else {
                self.seen.insert(name, id);
            }
        }
    }
}

/// FIFOs that no log has and nobody has open for writing.
fn nobodys(run: &Path, is_ours: impl Fn(FifoId) -> bool) -> HashSet<(OsString, FifoId)> {
    let mut found = HashSet::new();
    // A directory that cannot be read has nothing to show.
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_fifo = entry.file_type().is_ok_and(|kind| kind.is_fifo());
        if !is_fifo || !name.as_bytes().starts_with(PREFIX) {
            continue;
        }
        let Some(id) = pipe::id_at(&entry.path()) else { continue };
        if !is_ours(id) && !has_writer(&run.join(&name)) {
            found.insert((name, id));
        }
    }
    found
}

/// Whether somebody has the FIFO open for writing, or has left bytes in it. Nothing is taken out: tee(2) of a pipe without bytes
/// is 0 if nobody can write any, and EAGAIN if somebody can.
fn has_writer(fifo: &Path) -> bool {
    let mut options = std::fs::File::options();
    options.read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed());
    let (Ok(file), Ok((_reader, writer))) = (options.open(fifo), pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK))
    else {
        return true;
    };
    tee(&file, &writer, 1, SpliceFlags::NONBLOCK) != Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkfifoat};

    #[test]
    fn only_what_was_nobodys_twice_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["xenlog-dead", "xenlog-written", "xenlog-held", "xenlog-ours", "xenlog-late", "qemu-fifo"] {
            mkfifoat(CWD, at(name), Mode::RUSR | Mode::WUSR).unwrap();
        }
        std::fs::write(at("xenlog-file"), "").unwrap();
        let open = |name: &str| std::fs::File::options().read(true).write(true).open(at(name)).unwrap();
        let _held = open("xenlog-held");
        let written = open("xenlog-written");
        rustix::io::write(&written, b"bytes").unwrap();
        let ours = pipe::id_at(&at("xenlog-ours")).unwrap();
        let is_ours = |id: FifoId| id == ours;
        let mut now = Instant::now();
        let mut stale = Stale::new(now);
        stale.look(dir.path(), now, is_ours);
        now += EVERY;
        stale.look(dir.path(), now, is_ours);
        assert!(at("xenlog-dead").exists(), "once is not enough");
        // A name that is used again is another FIFO.
        std::fs::rename(at("xenlog-late"), at("away")).unwrap();
        mkfifoat(CWD, at("xenlog-late"), Mode::RUSR | Mode::WUSR).unwrap();
        now += EVERY;
        stale.look(dir.path(), now, is_ours);
        let gone = |name: &str| !at(name).exists();
        assert!(gone("xenlog-dead"));
        for kept in ["xenlog-written", "xenlog-held", "xenlog-ours", "xenlog-late", "qemu-fifo", "xenlog-file"] {
            assert!(!gone(kept), "{kept}");
        }
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&written, &mut bytes), Ok(5), "nothing was taken");
    }
}
