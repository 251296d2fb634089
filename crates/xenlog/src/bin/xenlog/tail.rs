//! `xenlog tail`: the last lines of a log, across its rotated copies.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use logfile::{Dir, Follower, Next, Start};
use logproto::{DomId, EntryKey, Owner};
use rustix::event::{PollFd, PollFlags};
use xenlog::Places;
use xenlog::counters::Status;
use xenlog::logs;
use xenstore::Client;

use crate::failure::{Failure, say};
use crate::follow::{Wait, readiness};
use crate::list::STORE_WAIT;
use crate::visible::{self, Stream};

/// Show the last lines of a log, rotated copies included
///
/// Control characters are escaped where a terminal would obey them.
#[derive(Debug, clap::Args)]
pub struct Tail {
    /// Go on showing what is written
    #[arg(short, long)]
    follow: bool,
    /// How many lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: u64,
    /// Which log: the number or name of a domain, a log's id, DOMAIN/ID, host/ID, DOMAIN/console, DOMAIN/vuart, hypervisor, or a
    /// file, absolute or relative to the log directory
    target: String,
}

/// Shows the last lines of a log, and what follows.
pub fn run(tail: &Tail, places: &Places) -> Result<(), Failure> {
    let file = find(&tail.target, places)?;
    let dir = file.parent().unwrap_or(Path::new("/"));
    let name = file.file_name().ok_or_else(|| Failure::NoFile(file.clone()))?;
    let dir = Dir::open(dir)?;
    let mut follower = Follower::open(&dir, name, Start::Lines(tail.lines))?;
    let mut wait = Wait::default();
    let mut screen = io::stdout().is_terminal().then(Stream::default);
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match follower.read(&mut buffer)? {
            Next::Bytes(length) => {
                wait.found();
                let bytes = &buffer[..length];
                let written = match &mut screen {
                    Some(screen) => out.write_all(&screen.show(bytes)),
                    None => out.write_all(bytes),
                };
                written.map_err(Failure::Output)?;
            }
            Next::Missed(Some(bytes)) => say(format!("{bytes} bytes are missing here: rotated away, or removed")),
            Next::Missed(None) => say("something may be missing here"),
            Next::UpToDate => {
                out.flush().map_err(Failure::Output)?;
                if !tail.follow {
                    return Ok(());
                }
                wait.wait(&mut follower, &mut vec![PollFd::new(&out, PollFlags::empty())], None);
                if readiness(out.as_fd(), PollFlags::empty()).intersects(PollFlags::ERR | PollFlags::HUP) {
                    // Who reads this has seen enough.
                    return Ok(());
                }
            }
        }
    }
}

/// A log by its names, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    key: EntryKey,
    domain_name: Option<String>,
    file: Option<PathBuf>,
    /// A log that is in the store; the others are consoles and the hypervisor's.
    is_entry: bool,
}

/// The file that is meant: what looks like a path is one, then come the logs of the store and of consoles, then the log
/// directory.
fn find(target: &str, places: &Places) -> Result<PathBuf, Failure> {
    if target.starts_with('/') {
        return existing(target.into());
    }
    let in_directory = existing(places.log_file(Path::new(target)));
    let logs = Client::connect(&places.store, STORE_WAIT).and_then(|mut store| logs::all(&mut store));
    let logs = match (logs, in_directory) {
        // Without a store a file can be read all the same.
        (Err(_), Ok(file)) => return Ok(file),
        (logs, _) => logs?,
    };
    let entry = |log: logs::Info| Named { key: log.key, domain_name: log.domain_name, file: log.file, is_entry: true };
    let mut all: Vec<Named> = logs.into_iter().map(entry).collect();
    all.extend(consoles(Status::ask(&places.run_dir).unwrap_or_default()));
    match &matching(&all, target)[..] {
        [] => existing(places.log_file(Path::new(target))).map_err(|_| {
            Failure::Named(format!("{}: neither a log of the store nor a log file", visible::line(target)))
        }),
        [log] => match &log.file {
            Some(file) if file.is_absolute() => Ok(file.clone()),
            _ if log.is_entry => Err(Failure::Named(format!("{}: names no file", log.key.path()))),
            _ => Err(Failure::Named(format!("{}: is not logged (xenconsoled --log=guest)", full_name(log)))),
        },
        several => {
            let names: Vec<String> = several.iter().map(|log| full_name(log)).collect();
            Err(Failure::Named(format!("{target} is {} logs; say which: {}", names.len(), names.join(", "))))
        }
    }
}

/// What the daemon logs without having been asked in the store.
fn consoles(status: Status) -> Vec<Named> {
    let named = |owner, id: &str, domain_name, file: Option<String>| {
        let key = EntryKey { owner, name: id.into() };
        Named { key, domain_name, file: file.map(PathBuf::from), is_entry: false }
    };
    let console = |said: xenlog::counters::ConsoleCounters| {
        let owner = Owner::Domain(DomId::new(said.domid)?);
        Some(named(owner, said.id(), said.name, said.file))
    };
    let hypervisor = status.hypervisor.map(|said| named(Owner::Host, "hypervisor", None, Some(said.file)));
    status.consoles.into_iter().filter_map(console).chain(hypervisor).collect()
}

fn existing(file: PathBuf) -> Result<PathBuf, Failure> {
    if file.is_file() { Ok(file) } else { Err(Failure::NoFile(file)) }
}

fn full_name(log: &Named) -> String {
    match log.key.owner {
        Owner::Host => format!("host/{}", log.key.name),
        Owner::Domain(domid) => format!("{domid}/{}", log.key.name),
    }
}

/// The logs that a name may mean: those of a domain, or else those with this id. A console's is meant only where none of the
/// store is.
fn matching<'a>(logs: &'a [Named], target: &str) -> Vec<&'a Named> {
    let is_of = |log: &Named, owner: &str| match log.key.owner {
        Owner::Host => owner == "host",
        Owner::Domain(domid) => owner == domid.to_string() || log.domain_name.as_deref() == Some(owner),
    };
    // A domain's name may hold a slash, a log's id may not.
    let one =
        |log: &Named| target.rsplit_once('/').is_some_and(|(owner, id)| *log.key.name == *id && is_of(log, owner));
    let owned = |log: &Named| is_of(log, target);
    let named = |log: &Named| *log.key.name == *target;
    let ways: [&dyn Fn(&Named) -> bool; 3] = [&one, &owned, &named];
    let filter = |way: &dyn Fn(&Named) -> bool| {
        let found: Vec<&Named> = logs.iter().filter(|log| way(log)).collect();
        let entries: Vec<&Named> = found.iter().copied().filter(|log| log.is_entry).collect();
        if entries.is_empty() { found } else { entries }
    };
    ways.into_iter().map(filter).find(|found| !found.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(owner: &str, domain_name: Option<&str>, id: &str) -> Named {
        let owner = owner.parse().map_or(Owner::Host, Owner::Domain);
        let domain_name = domain_name.map(str::to_owned);
        Named { key: EntryKey { owner, name: id.into() }, domain_name, file: None, is_entry: true }
    }

    fn console(owner: &str, domain_name: Option<&str>, id: &str) -> Named {
        Named { is_entry: false, ..log(owner, domain_name, id) }
    }

    #[test]
    fn a_log_has_many_names() {
        let logs = [
            log("host", None, "xl"),
            log("5", Some("vm"), "qemu-dm"),
            log("6", Some("a/b"), "qemu-dm"),
            log("6", Some("a/b"), "x"),
        ];
        let found = |target: &str| matching(&logs, target).into_iter().map(full_name).collect::<Vec<_>>();
        assert_eq!(found("5"), ["5/qemu-dm"]);
        assert_eq!(found("vm"), ["5/qemu-dm"]);
        assert_eq!(found("vm/qemu-dm"), ["5/qemu-dm"]);
        assert_eq!(found("xl"), ["host/xl"]);
        assert_eq!(found("host/xl"), ["host/xl"]);
        assert_eq!(found("a/b/x"), ["6/x"]);
        assert_eq!(found("a/b"), ["6/qemu-dm", "6/x"]);
        assert_eq!(found("qemu-dm"), ["5/qemu-dm", "6/qemu-dm"]);
        assert_eq!(found("nothing"), Vec::<String>::new());
    }

    #[test]
    fn a_console_does_not_stand_in_a_logs_way() {
        let logs = [
            log("5", Some("vm"), "qemu-dm"),
            console("5", Some("vm"), "console"),
            console("6", Some("pv"), "console"),
            console("6", Some("pv"), "vuart"),
            console("7", Some("one"), "console"),
            console("host", None, "hypervisor"),
        ];
        let found = |target: &str| matching(&logs, target).into_iter().map(full_name).collect::<Vec<_>>();
        assert_eq!(found("vm"), ["5/qemu-dm"]);
        assert_eq!(found("vm/console"), ["5/console"]);
        assert_eq!(found("6"), ["6/console", "6/vuart"]);
        assert_eq!(found("pv/vuart"), ["6/vuart"]);
        assert_eq!(found("one"), ["7/console"]);
        assert_eq!(found("hypervisor"), ["host/hypervisor"]);
        assert_eq!(found("host/hypervisor"), ["host/hypervisor"]);
    }
}
