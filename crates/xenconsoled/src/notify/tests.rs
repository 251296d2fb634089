//! The daemon's side against a socket that a test reads.

use super::*;

struct Keeper {
    socket: UnixDatagram,
    _dir: tempfile::TempDir,
}

fn pair(watchdog: Option<Duration>) -> (Keeper, Notify) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    (Keeper { socket, _dir: dir }, Notify::connect(path.as_os_str(), watchdog).unwrap())
}

impl Keeper {
    /// What has come, descriptors left out.
    fn read(&self) -> Vec<String> {
        let mut text = [0; message::TEXT];
        std::iter::from_fn(|| {
            let len = self.socket.recv(&mut text).ok()?;
            Some(String::from_utf8(text[..len].to_vec()).unwrap())
        })
        .collect()
    }

    /// The same, as often as something comes.
    fn read_all(&self, notify: &mut Notify) -> Vec<String> {
        let mut all = Vec::new();
        while notify.wants_write() {
            all.extend(self.read());
            notify.process();
        }
        all.extend(self.read());
        all
    }
}

#[test]
fn what_is_said_is_sent_at_once() {
    let (keeper, mut notify) = pair(None);
    notify.ready();
    notify.status("two\nlines");
    assert!(notify.store("log-1", &[keeper.socket.as_fd()]));
    notify.remove("log-1");
    notify.stopping();
    let expected = [
        "READY=1",
        "STATUS=two lines",
        "FDSTORE=1\nFDNAME=log-1\nFDPOLL=0",
        "FDSTOREREMOVE=1\nFDNAME=log-1",
        "STOPPING=1",
    ];
    assert_eq!(keeper.read(), expected);
    assert!(notify.is_flushed() && !notify.wants_write() && !notify.is_gone());
}

#[test]
fn an_abstract_address_is_reached() {
    let name = format!("xenconsoled-test-{}", std::process::id());
    let server = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    Notify::connect(OsStr::new(&format!("@{name}")), None).unwrap().ready();
    let mut text = [0; 7];
    assert_eq!(server.recv(&mut text).unwrap(), 7);
    assert_eq!(&text, b"READY=1");
}

#[test]
fn a_keeper_that_stands_still_is_not_waited_for_and_misses_nothing() {
    let (keeper, mut notify) = pair(None);
    for log in 0..5000 {
        assert!(notify.store(&format!("log-{log}"), &[keeper.socket.as_fd()]));
        // Most come and go before anything is sent.
        if log % 100 != 0 {
            notify.remove(&format!("log-{log}"));
        }
    }
    assert!(!notify.is_flushed() && notify.wants_write());
    assert!(notify.queue.len() < 100, "what is over before it is sent is not sent: {}", notify.queue.len());
    let mut kept = std::collections::BTreeSet::new();
    for said in keeper.read_all(&mut notify) {
        let said = message::Message::parse(said.as_bytes());
        let name = said.name.unwrap().to_owned();
        assert!(if said.store { kept.insert(name) } else { kept.remove(&name) });
    }
    assert_eq!(kept, (0..5000).step_by(100).map(|log| format!("log-{log}")).collect());
    assert!(notify.is_flushed());
}

#[test]
fn a_sign_of_life_comes_when_it_is_time_and_never_twice() {
    let (keeper, mut notify) = pair(Some(Duration::from_secs(4)));
    let now = notify.deadline().unwrap();
    for at in [now, now, now + Duration::from_millis(999), now + Duration::from_secs(1)] {
        notify.alive(at);
    }
    assert_eq!(notify.deadline(), Some(now + Duration::from_secs(2)));
    assert_eq!(keeper.read(), ["WATCHDOG=1"; 2]);
    for second in 2..1000 {
        notify.alive(now + Duration::from_secs(second));
        notify.status(&second.to_string());
    }
    assert!(notify.queue.len() <= 2, "{:?}", notify.queue);
    assert_eq!(keeper.read_all(&mut notify).last().unwrap(), "STATUS=999");
    let (_keeper, mut unwatched) = pair(None);
    unwatched.alive(now);
    assert_eq!(unwatched.deadline(), None);
}

#[test]
fn without_a_keeper_there_is_nothing_to_wait_for() {
    let (keeper, mut notify) = pair(Some(Duration::from_secs(4)));
    let fd = std::fs::File::open("/dev/null").unwrap();
    drop(keeper);
    assert!(!notify.is_gone());
    assert!(notify.store("log-1", &[fd.as_fd()]), "it was not known before");
    assert!(notify.is_gone() && notify.is_flushed() && !notify.wants_write());
    assert!(!notify.store("log-2", &[fd.as_fd()]));
    notify.remove("log-1");
    notify.ready();
    assert_eq!(notify.deadline(), None);
    assert!(Notify::connect(OsStr::new("/nonexistent/notify"), None).is_err());
}

#[test]
fn no_more_is_kept_than_can_be_passed_on() {
    let (keeper, mut notify) = pair(None);
    let fd = keeper.socket.as_fd();
    let long = "n".repeat(200);
    let mut kept = 0;
    while notify.store(&format!("{long}{kept:07}"), &[fd]) {
        keeper.read_all(&mut notify);
        kept += 1;
    }
    assert_eq!((kept, notify.is_short), (message::NAMES / 208, true), "and it was said");
    notify.remove(&format!("{long}0000000"));
    assert!(notify.store(&format!("{long}0000000"), &[fd]) && !notify.store("with a : colon", &[fd]));
    notify.kept.most = Some(notify.kept.descriptors + 2);
    assert!(!notify.store("a", &[fd, fd, fd]) && notify.store("a", &[fd, fd]) && !notify.store("a", &[fd]));
}

/// A log is kept by one descriptor, and a hand by two.
#[test]
fn ten_thousand_logs_can_be_kept_however_large_their_numbers() {
    let (keeper, mut notify) = pair(None);
    let fd = keeper.socket.as_fd();
    for hand in 0..20 {
        assert!(notify.store(&format!("hand-r-{hand}"), &[fd]) && notify.store(&format!("hand-w-{hand}"), &[fd]));
    }
    for log in 0..10_000 {
        assert!(notify.store(&format!("log-{}", 10_000_000 + log), &[fd]), "{log}");
        keeper.read_all(&mut notify);
    }
    assert!(!notify.is_short);
}

#[test]
fn more_descriptors_than_a_message_can_have_are_several_messages() {
    let (keeper, mut notify) = pair(None);
    let many = vec![keeper.socket.as_fd(); message::DESCRIPTORS + 1];
    assert!(notify.store("a", &many));
    assert_eq!(keeper.read().len(), 2);
}
