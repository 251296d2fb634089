//! When a session does what, with a clock of the test's own.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use super::*;
use crate::wire::{self, Decoder, Kind};

fn nowhere() -> Session {
    Session::new(vec![Address::unix("/nonexistent/a"), Address::unix("/nonexistent/b")])
}

#[test]
fn it_connects_only_in_process_and_at_once() {
    let mut session = nowhere();
    assert_eq!(session.next(), None);
    assert!(session.deadline().is_some_and(|at| at <= Instant::now()));
    session.process(Instant::now());
    match session.next() {
        Some(SessionEvent::Lost(Error::Unreachable(errors))) => assert_eq!(errors.len(), 2, "both addresses"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pauses_between_attempts_double_up_to_a_second() {
    let mut session = nowhere();
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        session.process(now);
        let next = session.deadline().unwrap();
        pauses.push((next - now).as_millis());
        // Before the time nothing happens.
        session.process(next - Duration::from_nanos(1));
        assert_eq!(session.deadline(), Some(next));
        now = next;
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
}

#[test]
fn one_outage_is_reported_once() {
    let mut session = nowhere();
    for _ in 0..5 {
        session.process(session.deadline().unwrap());
    }
    assert!(matches!(session.next(), Some(SessionEvent::Lost(_))));
    assert_eq!(session.next(), None);
}

#[test]
fn requests_fail_at_once_without_a_connection() {
    let mut session = nowhere();
    let result = session.submit(TxId::NONE, Request::Read { path: "/a" });
    assert!(matches!(result, Err(Error::Disconnected(_))), "{result:?}");
    assert!(!session.is_connected() && !session.wants_write() && session.as_fd().is_none());
}

#[test]
fn a_watch_no_store_would_take_is_told_to_him_who_sets_it() {
    let mut session = nowhere();
    assert!(matches!(session.watch("/a b", "t"), Err(Error::Malformed { .. })));
    assert!(matches!(session.watch("/a", &"t".repeat(5000)), Err(Error::TooLarge { .. })));
    assert_eq!(session.watches.iter().count(), 0);
    session.watch("/a", "t").unwrap();
    assert_eq!(session.watches.iter().count(), 1);
}

/// A token may be one of a watch that was taken back; an event may come before the scan it is part of.
#[test]
fn events_that_tell_nothing_are_ignored() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut session = Session::new(vec![Address::unix(&socket)]);
    session.watch("/a", "t").unwrap();
    session.process(Instant::now());
    let (mut store, _) = listener.accept().unwrap();
    let event = |path: &str, token: &str, out: &mut Vec<u8>| {
        wire::encode(Kind::WATCH_EVENT, 0, 0, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"], out).unwrap();
    };

    let mut out = Vec::new();
    event("/a/before", "t", &mut out);
    let mut requests = [0; 4096];
    let length = store.read(&mut requests).unwrap();
    let mut rest = &requests[..length];
    let mut decoder = Decoder::new();
    while let Some(request) = decoder.next(&mut rest).unwrap() {
        let reply: &[u8] = if request.kind == Kind::GET_DOMAIN_PATH { b"/local/domain/0\0" } else { b"OK\0" };
        wire::encode(request.kind, request.request, 0, &[reply], &mut out).unwrap();
    }
    store.write_all(&out).unwrap();
    session.process(Instant::now());
    assert_eq!(session.next(), Some(SessionEvent::Rescan));
    assert_eq!((session.next(), session.ignored()), (None, 0));

    out.clear();
    for (path, token) in [("/a", "another"), ("/b", "t"), ("/a/b", "t"), ("/a/b", "another")] {
        event(path, token, &mut out);
    }
    store.write_all(&out).unwrap();
    session.process(Instant::now());
    assert_eq!(session.next(), Some(SessionEvent::Event(Event { path: "/a/b".into(), token: "t".into() })));
    assert_eq!(session.next(), None);
    assert_eq!(session.ignored(), 3);
}
