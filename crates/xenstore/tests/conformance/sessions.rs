//! Connections that come back.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use testbed::{PATIENCE, Store};
use xenstore::{Error, Event, Reply, Request, RequestId, Session, SessionEvent, TxId};

use crate::watcher::event;

/// A session and what it has reported.
struct Owner {
    session: Session,
}

impl Owner {
    fn new(store: &Store) -> Self {
        Owner { session: Session::new(vec![store.address()]) }
    }

    /// The next report, by the loop that the documentation of [`Session`] describes.
    fn next(&mut self) -> SessionEvent {
        let start = Instant::now();
        loop {
            if let Some(event) = self.session.next() {
                return event;
            }
            assert!(start.elapsed() < PATIENCE, "nothing is reported");
            self.wait();
            self.session.process(Instant::now());
        }
    }

    fn wait(&self) {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let left = self.session.deadline().map_or(second, |at| at.saturating_duration_since(now)).min(second);
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let flags = PollFlags::IN | if self.session.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        let mut fds: Vec<_> = self.session.as_fd().map(|fd| PollFd::from_borrowed_fd(fd, flags)).into_iter().collect();
        rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
    }

    fn next_event(&mut self) -> Event {
        match self.next() {
            SessionEvent::Event(event) => event,
            other => panic!("{other:?} in place of an event"),
        }
    }

    fn submit(&mut self, request: Request<'_>) -> RequestId {
        self.session.submit(TxId::NONE, request).unwrap()
    }

    /// The answer to `id`, whatever events come before.
    fn reply(&mut self, id: RequestId) -> Result<Reply, Error> {
        loop {
            match self.next() {
                SessionEvent::Reply { id: answered, result } => {
                    assert_eq!(answered, id);
                    return result;
                }
                SessionEvent::Event(_) => {}
                other => panic!("{other:?} in place of a reply"),
            }
        }
    }

    fn expect_lost(&mut self) -> Error {
        loop {
            match self.next() {
                SessionEvent::Lost(error) => return error,
                SessionEvent::Event(_) => {}
                other => panic!("{other:?} in place of the loss"),
            }
        }
    }

    /// Checks that nothing was reported but events, by asking for something.
    fn expect_quiet(&mut self) {
        let id = self.submit(Request::Directory { path: "/" });
        assert!(self.reply(id).is_ok());
    }
}

pub fn first_scan_then_events(store: &mut Store) {
    let mut owner = Owner::new(store);
    owner.session.watch("/a", "t").unwrap();
    assert!(!owner.session.is_connected());
    assert_eq!(owner.next(), SessionEvent::Rescan);
    assert!(owner.session.is_connected());
    store.client().write("/a/b", b"1").unwrap();
    // The watch's own first event may come before.
    while owner.next_event() != event("/a/b", "t") {}
    let id = owner.submit(Request::Read { path: "/a/b" });
    assert_eq!(owner.reply(id), Ok(Reply::Value(b"1".to_vec())));
}

pub fn restart_of_the_store_ends_in_one_rescan(store: &mut Store) {
    let mut owner = Owner::new(store);
    owner.session.watch("/a", "t").unwrap();
    owner.session.watch("@releaseDomain", "u").unwrap();
    assert_eq!(owner.next(), SessionEvent::Rescan);
    owner.expect_quiet();
    let connections = owner.session.connections();
    store.pause();
    let pending = [owner.submit(Request::Read { path: "/a" }), owner.submit(Request::Read { path: "/b" })];
    owner.session.process(Instant::now());
    store.kill();
    for id in pending {
        let error = owner.reply(id).unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error}");
    }
    assert!(matches!(owner.expect_lost(), Error::Disconnected(_)));
    assert!(owner.session.as_fd().is_none());
    let refused = owner.session.submit(TxId::NONE, Request::Read { path: "/a" });
    assert!(matches!(refused, Err(Error::Disconnected(_))), "{refused:?}");
    store.restart();
    assert_eq!(owner.next(), SessionEvent::Rescan);
    assert!(owner.session.connections() > connections);
    // Watches are set again: a change is reported, and there is no second Rescan before.
    store.client().write("/a/b", b"1").unwrap();
    while owner.next_event() != event("/a/b", "t") {}
    owner.expect_quiet();
    // And so the next time.
    store.kill();
    owner.expect_lost();
    store.restart();
    assert_eq!(owner.next(), SessionEvent::Rescan);
}

pub fn a_store_that_comes_later_is_found(store: &mut Store) {
    store.kill();
    let mut owner = Owner::new(store);
    owner.session.watch("/a", "t").unwrap();
    assert!(matches!(owner.expect_lost(), Error::Unreachable(_)));
    let refused = owner.session.submit(TxId::NONE, Request::Read { path: "/a" });
    assert!(matches!(refused, Err(Error::Disconnected(_))), "{refused:?}");
    // Several attempts in vain are reported once.
    for _ in 0..5 {
        let at = owner.session.deadline().unwrap();
        owner.session.process(at);
    }
    store.restart();
    assert_eq!(owner.next(), SessionEvent::Rescan);
    owner.expect_quiet();
}

pub fn a_silent_store_is_lost_and_found(store: &mut Store) {
    let mut owner = Owner::new(store);
    owner.session.watch("/a", "t").unwrap();
    assert_eq!(owner.next(), SessionEvent::Rescan);
    store.pause();
    owner.session.set_silence(Duration::from_millis(50));
    let id = owner.submit(Request::Read { path: "/a" });
    let error = owner.reply(id).unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error}");
    assert!(matches!(owner.expect_lost(), Error::Disconnected(_)));
    // It can be connected to, but that is no Rescan: it does not answer.
    for _ in 0..5 {
        let at = owner.session.deadline().unwrap();
        owner.session.process(at);
        assert!(!owner.session.is_connected());
    }
    owner.session.set_silence(PATIENCE);
    store.resume();
    assert_eq!(owner.next(), SessionEvent::Rescan);
    store.client().write("/a", b"1").unwrap();
    assert_eq!(owner.next_event(), event("/a", "t"));
    owner.expect_quiet();
}

/// What a store accepts it has to answer, also when nothing is watched.
pub fn a_session_without_watches_waits_for_an_answer_too(store: &mut Store) {
    let mut owner = Owner::new(store);
    store.pause();
    owner.session.process(Instant::now());
    owner.session.process(Instant::now());
    assert!(owner.session.as_fd().is_some() && !owner.session.is_connected());
    store.resume();
    assert_eq!(owner.next(), SessionEvent::Rescan);
}

pub fn watches_come_and_go(store: &mut Store) {
    let mut owner = Owner::new(store);
    assert_eq!(owner.next(), SessionEvent::Rescan);
    let mut writer = store.client();
    owner.session.watch("/a", "t").unwrap();
    owner.session.watch("/a", "t").unwrap();
    assert_eq!(owner.next_event(), event("/a", "t"), "the first event of a new watch");
    writer.write("/a", b"1").unwrap();
    assert_eq!(owner.next_event(), event("/a", "t"));
    owner.session.unwatch("/a", "t");
    owner.session.watch("/b", "t").unwrap();
    assert_eq!(owner.next_event(), event("/b", "t"));
    writer.write("/a", b"2").unwrap();
    writer.write("/b", b"2").unwrap();
    assert_eq!(owner.next_event(), event("/b", "t"));
    owner.expect_quiet();
}
