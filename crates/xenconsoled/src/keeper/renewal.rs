//! The keeper's own upgrade: it becomes the program that is at its path now, in the same process, and all that it keeps stays
//! open. A table of numbers and names, in memory, tells the new program which is which.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use xen_sys::listen::inherited;
use xen_sys::spawn::Program;

use super::child::environment;
use super::fdstore::FdStore;

/// Tells the new program, in the environment: this process's id, the table's descriptor and the run directory, with a colon
/// after each of the first two.
pub const VARIABLE: &str = "XENCONSOLED_KEPT";

/// Becomes the program. Comes back only if that cannot be: then everything is as before.
pub fn become_program(program: &Path, args: &[OsString], run: &Path, kept: &FdStore) -> io::Error {
    let attempt = || -> io::Result<io::Error> {
        let mut table = File::from(memfd_create("xenconsoled", MemfdFlags::CLOEXEC)?);
        for (name, fd) in kept.iter() {
            writeln!(table, "{} {name}", fd.as_raw_fd())?;
        }
        table.rewind()?;
        let mut env = environment();
        let mut value = OsString::from(format!("{}:{}:", process::id(), table.as_raw_fd()));
        value.push(run);
        env.push((VARIABLE.into(), value));
        let program = Program::new(program, args.iter().cloned(), env)?;
        let all = || kept.iter().map(|(_, fd)| fd).chain([table.as_fd()]);
        let passes = |flags| all().try_for_each(|fd: BorrowedFd<'_>| fcntl_setfd(fd, flags));
        let why = passes(FdFlags::empty()).map_or_else(io::Error::from, |()| program.exec());
        passes(FdFlags::CLOEXEC)?;
        Ok(why)
    };
    attempt().unwrap_or_else(|why| why)
}

/// The run directory of the keeper that this process was before it executed this program, if it was one.
pub fn renewed_in() -> Option<PathBuf> {
    told().map(|(_, run)| run)
}

/// What the keeper that this process was has kept.
pub fn take_over(kept: &mut FdStore) {
    let Some(mut table) = told().and_then(|(table, _)| inherited(table)).map(File::from) else { return };
    let mut text = String::new();
    if let Err(why) = table.read_to_string(&mut text) {
        tracing::error!("cannot read what was kept: {why}");
    }
    for (number, name) in text.lines().filter_map(|line| line.split_once(' ')) {
        let taken = number.parse().ok().and_then(inherited).map(|fd| kept.add(name, vec![fd]));
        if taken != Some(Ok(())) {
            tracing::error!("descriptor {number}, kept as {name}, was lost");
        }
    }
}

/// The table and the run directory.
fn told() -> Option<(RawFd, PathBuf)> {
    let value = std::env::var_os(VARIABLE)?;
    let mut parts = value.as_bytes().splitn(3, |byte| *byte == b':');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u32>().ok();
    let (pid, table) = (number()?, number()?);
    let run = PathBuf::from(OsStr::from_bytes(parts.next()?));
    (pid == process::id()).then_some((RawFd::try_from(table).ok()?, run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::fcntl_getfd;

    #[test]
    fn what_cannot_be_executed_changes_nothing() {
        let mut kept = FdStore::at_most(9);
        kept.add("a", vec![File::open("/dev/null").unwrap().into()]).unwrap();
        let why = become_program(Path::new("/nonexistent/program"), &["x".into()], Path::new("/run"), &kept);
        assert_eq!(why.kind(), io::ErrorKind::NotFound);
        let (_, fd) = kept.iter().next().unwrap();
        assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
        assert_eq!(renewed_in(), None);
    }
}
