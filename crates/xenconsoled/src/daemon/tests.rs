//! The main loop, round by round.

use std::ffi::OsString;

use logproto::Entry;

use super::*;
use crate::logs::Seen;
use crate::options::Options;

fn daemon(dir: &std::path::Path, notify: Option<Notify>) -> Daemon {
    let at = |name: &str| {
        std::fs::create_dir_all(dir.join(name)).unwrap();
        OsString::from(format!("--xen-{name}-dir={}", dir.join(name).display()))
    };
    let options =
        Options::read([OsString::from("xenconsoled"), OsString::from("--no-hypervisor"), at("run"), at("log")])
            .unwrap();
    Daemon::new(Settings::gather(&options, |_| None).unwrap(), notify, Vec::new()).unwrap()
}

/// Ten thousand entries that came at once were all judged, opened and answered before anybody looked at the pipes that were full.
#[test]
fn however_much_there_is_to_do_a_round_does_little_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = daemon(dir.path(), None);
    let mut entry = Entry::default();
    entry.nodes[0] = Some(b"/nowhere".to_vec());
    entry.nodes[1] = Some(b"/nowhere".to_vec());
    const MANY: usize = 10_000;
    for number in 0..MANY {
        let key = EntryKey { owner: Owner::Host, name: format!("log-{number}").into() };
        daemon.logs.seen(&key, &Seen { entry: entry.clone(), fifo: None, began: 0 });
    }
    // Far from the time at which the store wants to be tried: there is none.
    let now = Instant::now();
    let rounds = std::iter::from_fn(|| (!daemon.work(now)).then_some(())).take(MANY).count();
    assert!(rounds >= MANY / ROUND, "{rounds} rounds");
    assert!(daemon.logs.action().is_none() && daemon.work(now), "and all of it is done");
}

/// Whoever asked the service manager how it goes was told nothing.
#[test]
fn whoever_watches_the_service_is_told_how_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let keeper = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut daemon = daemon(dir.path(), Some(Notify::connect(path.as_os_str(), None).unwrap()));
    keeper.set_nonblocking(true).unwrap();
    daemon.tell_keeper(Instant::now());
    let mut buffer = [0; 4096];
    let len = keeper.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"STATUS=serving 0 logs");
}
