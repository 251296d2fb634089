//! When a session does what, with a clock of the test's own.

use super::*;

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
