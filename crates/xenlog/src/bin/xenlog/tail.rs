//! `xenlog tail`: the last lines of a log, across its rotated copies.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use logfile::{Dir, Follower, Next, Start};
use logproto::Owner;
use xenlog::Places;
use xenlog::logs::{self, Info};
use xenstore::Client;

use crate::failure::{Failure, say};
use crate::list::STORE_WAIT;
use crate::visible::{self, Stream};

/// How often a log that is followed is looked at for more.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
    /// Which log: the number or name of a domain, a log's id, DOMAIN/ID, host/ID, or a file, absolute or relative to
    /// the log directory
    target: String,
}

/// Shows the last lines of a log, and what follows.
pub fn run(tail: &Tail, places: &Places) -> Result<(), Failure> {
    let file = find(&tail.target, places)?;
    let dir = file.parent().unwrap_or(Path::new("/"));
    let name = file.file_name().ok_or_else(|| Failure::NoFile(file.clone()))?;
    let dir = Dir::open(dir)?;
    let mut follower = Follower::open(&dir, name, Start::Lines(tail.lines))?;
    let mut screen = io::stdout().is_terminal().then(Stream::default);
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match follower.read(&mut buffer)? {
            Next::Bytes(length) => {
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
                thread::sleep(LOOK_AGAIN);
            }
        }
    }
}

/// The file that is meant: what looks like a path is one, then come the logs of the store, then the log directory.
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
    match &matching(&logs, target)[..] {
        [] => existing(places.log_file(Path::new(target))).map_err(|_| {
            Failure::Named(format!("{}: neither a log of the store nor a log file", visible::line(target)))
        }),
        [log] => match &log.file {
            Some(file) if file.is_absolute() => Ok(file.clone()),
            _ => Err(Failure::Named(format!("{}: names no file", log.key.path()))),
        },
        several => {
            let names: Vec<String> = several.iter().map(|log| full_name(log)).collect();
            Err(Failure::Named(format!("{target} is {} logs; say which: {}", names.len(), names.join(", "))))
        }
    }
}

fn existing(file: PathBuf) -> Result<PathBuf, Failure> {
    if file.is_file() { Ok(file) } else { Err(Failure::NoFile(file)) }
}

fn full_name(log: &Info) -> String {
    match log.key.owner {
        Owner::Host => format!("host/{}", log.key.name),
        Owner::Domain(domid) => format!("{domid}/{}", log.key.name),
    }
}

/// The logs that a name may mean: those of a domain, or else those with this id.
fn matching<'a>(logs: &'a [Info], target: &str) -> Vec<&'a Info> {
    let is_of = |log: &Info, owner: &str| match log.key.owner {
        Owner::Host => owner == "host",
        Owner::Domain(domid) => owner == domid.to_string() || log.domain_name.as_deref() == Some(owner),
    };
    let filter = |test: &dyn Fn(&Info) -> bool| logs.iter().filter(|log| test(log)).collect::<Vec<_>>();
    // A domain's name may hold a slash, a log's id may not.
    let one = target.rsplit_once('/').map(|(owner, id)| filter(&|log| log.key.name == id && is_of(log, owner)));
    let owned = || filter(&|log| is_of(log, target));
    let named = || filter(&|log| log.key.name == target);
    let found = one.unwrap_or_default();
    let found = if found.is_empty() { owned() } else { found };
    if found.is_empty() { named() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logproto::EntryKey;

    fn log(owner: &str, domain_name: Option<&str>, id: &str) -> Info {
        let owner = owner.parse().map_or(Owner::Host, Owner::Domain);
        let domain_name = domain_name.map(str::to_owned);
        let key = EntryKey { owner, name: id.into() };
        let (pipe, file, limit, copies, policy, timestamp, state, usage) =
            (None, None, None, None, None, None, None, None);
        Info { key, domain_name, pipe, file, limit, copies, policy, timestamp, state, usage }
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
}
