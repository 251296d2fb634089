//! The keeper's decisions, by plain times.

use super::*;

const WATCHDOG: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// A course with a daemon that has just been started, and the time of that.
fn started() -> (Course, Instant) {
    let now = Instant::now();
    let mut course = Course::new(now, Some(WATCHDOG), false);
    assert_eq!(course.order(now, false), Some(Order::Start));
    course.started(now);
    (course, now)
}

/// The same, with a daemon that serves.
fn serving() -> (Course, Instant) {
    let (mut course, now) = started();
    course.serves();
    assert_eq!(course.order(now, false), None);
    (course, now)
}

#[test]
fn a_daemon_that_dies_is_started_again_at_once() {
    for end in [End::Signal(9), End::Signal(6), End::Exit(1), End::Exit(0)] {
        let (mut course, now) = serving();
        let later = now + 60 * S;
        course.heard(later);
        assert_eq!(course.ended(later, end, false), Ok(Duration::ZERO), "{end:?}");
        assert_eq!(course.order(later, false), Some(Order::Start));
    }
}

#[test]
fn one_that_dies_again_and_again_is_started_ever_later_up_to_a_second() {
    let (mut course, mut now) = started();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let pause = course.ended(now, End::Signal(11), true).unwrap();
        pauses.push(pause.as_millis());
        if pause > Duration::ZERO {
            assert_eq!(course.order(now + pause - MS, true), None);
        }
        assert_eq!(course.deadline(), Some(now + pause));
        now += pause;
        assert_eq!(course.order(now, true), Some(Order::Start));
        course.started(now);
    }
    assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    let mut end = |lived| {
        now += lived;
        let pause = course.ended(now, End::Signal(11), true).unwrap();
        course.started(now);
        pause
    };
    assert_eq!(end(2 * S), Duration::ZERO, "it lived a while");
    assert_eq!(end(MS), S, "and that is not forgotten");
    assert_eq!((end(10 * S), end(MS), end(MS)), (Duration::ZERO, Duration::ZERO, 10 * MS), "it lived long");
    assert_eq!((0..100).map(|_| end(MS)).max(), Some(S));
}

#[test]
fn one_that_is_killed_while_it_serves_has_not_failed() {
    let (mut course, now) = started();
    for _ in 0..100 {
        course.serves();
        assert_eq!(course.ended(now, End::Signal(9), true), Ok(Duration::ZERO));
        course.started(now);
    }
    let pauses = [(); 3].map(|()| {
        let pause = course.ended(now, End::Signal(9), true).unwrap();
        course.started(now);
        pause
    });
    assert_eq!(pauses, [Duration::ZERO, PAUSE, 2 * PAUSE], "but one that never comes to serve has");
}

#[test]
fn a_program_that_cannot_be_started_is_tried_again_and_not_in_a_hurry() {
    let now = Instant::now();
    let mut course = Course::new(now, Some(WATCHDOG), true);
    for _ in 0..12 {
        course.not_started(now).unwrap();
    }
    assert_eq!(course.deadline(), Some(now + S));
    course.stop(now);
    assert_eq!(course.order(now + S, true), Some(Order::Start), "once more, for what is kept");
    assert_eq!(course.not_started(now), Err(1));
}

#[test]
fn a_daemon_that_never_could_start_ends_the_keeper() {
    let (mut course, now) = started();
    assert_eq!(course.ended(now, End::Exit(22), false), Err(22));
    let (mut course, now) = started();
    assert!(course.ended(now, End::Signal(9), false).is_ok(), "it did not leave by itself");
    let (mut course, now) = started();
    assert!(course.ended(now, End::Exit(22), true).is_ok(), "what is kept is not given up");
    let (mut course, now) = serving();
    course.ended(now, End::Exit(0), false).unwrap();
    course.started(now);
    assert!(course.ended(now, End::Exit(22), false).is_ok(), "one has served before");
    let mut course = Course::new(now, None, true);
    course.started(now);
    assert!(course.ended(now, End::Exit(22), false).is_ok(), "under the keeper's predecessor");
}

#[test]
fn a_silent_daemon_is_aborted_then_killed() {
    let (mut course, now) = serving();
    course.heard(now + 3 * S);
    let silent = now + 13 * S;
    assert_eq!(course.deadline(), Some(silent));
    assert_eq!(course.order(silent - MS, false), None);
    assert_eq!(course.order(silent, false), Some(Order::Send(Signal::ABORT)));
    assert_eq!(course.order(silent, false), None);
    assert_eq!(course.deadline(), Some(silent + ABORT));
    assert_eq!(course.order(silent + ABORT, false), Some(Order::Send(Signal::KILL)));
    assert_eq!((course.order(silent + 100 * ABORT, false), course.deadline()), (None, None), "it is waited for");
    assert_eq!(course.ended(silent + 100 * ABORT, End::Signal(9), false), Ok(Duration::ZERO));
}

#[test]
fn one_that_does_not_come_to_serve_is_stuck_too() {
    let (mut course, now) = started();
    course.heard(now + START - S);
    assert_eq!(course.deadline(), Some(now + START), "whatever it says meanwhile");
    assert_eq!(course.order(now + START, false), Some(Order::Send(Signal::ABORT)));
    let now = Instant::now();
    let mut course = Course::new(now, None, false);
    course.started(now);
    course.serves();
    assert_eq!(course.deadline(), None, "without a watchdog it may be silent");
}

#[test]
fn a_stop_is_passed_on_and_its_status_is_the_keepers() {
    for (end, keeps, status) in [(End::Exit(0), true, 0), (End::Exit(1), true, 1), (End::Signal(9), false, 137)] {
        let (mut course, now) = serving();
        course.stop(now);
        assert_eq!(course.order(now, true), Some(Order::Send(Signal::TERM)));
        assert_eq!(course.order(now, true), None);
        assert_eq!(course.ended(now + S, end, keeps), Err(status));
    }
}

/// A daemon that crashed while it emptied its pipes took the keeper with it, and what was still in them.
#[test]
fn one_that_is_killed_before_it_has_written_everything_is_followed_by_one_that_does() {
    let (mut course, now) = serving();
    course.stop(now);
    course.order(now, true);
    assert_eq!(course.ended(now, End::Signal(11), true), Ok(Duration::ZERO));
    assert_eq!(course.order(now, true), Some(Order::Start));
    course.started(now);
    course.serves();
    assert_eq!(course.order(now, true), Some(Order::Send(Signal::TERM)));
    assert_eq!(course.ended(now, End::Exit(0), true), Err(0));
}

#[test]
fn one_that_is_killed_again_and_again_does_not_prolong_a_stop_and_is_not_started_in_a_hurry() {
    let (mut course, mut now) = serving();
    course.stop(now);
    let by = now + STOP;
    let mut starts = 0;
    while let Ok(pause) = course.ended(now, End::Signal(11), true) {
        now += pause;
        match course.order(now, true) {
            Some(Order::Start) => course.started(now),
            Some(Order::Leave(status)) => return assert_eq!((status, now >= by), (1, true)),
            other => panic!("{other:?}"),
        }
        starts += 1;
        assert!(starts < 40 && course.deadline() <= Some(by));
    }
    assert!(now >= by);
}

#[test]
fn a_stop_is_bounded() {
    let (mut course, now) = serving();
    course.stop(now);
    course.order(now, true);
    course.stop(now + 10 * S);
    assert_eq!(course.deadline(), Some(now + STOP), "a second one does not prolong it");
    assert_eq!(course.order(now + STOP, true), Some(Order::Send(Signal::KILL)));
    assert_eq!(course.deadline(), Some(now + STOP + GRACE));
    assert_eq!(course.order(now + STOP + GRACE, true), Some(Order::Leave(1)), "the kernel does not let it go");
}

#[test]
fn a_stop_waits_for_a_daemon_that_can_write_what_is_kept() {
    let (mut course, now) = started();
    course.stop(now);
    assert_eq!(course.order(now, true), None, "it does not wait for signals yet");
    course.serves();
    assert_eq!(course.order(now, true), Some(Order::Send(Signal::TERM)));

    let (mut course, now) = started();
    course.ended(now, End::Signal(9), true).unwrap();
    course.stop(now);
    assert_eq!(course.order(now, true), Some(Order::Start), "none was there");
    course.started(now);
    assert_eq!(course.deadline(), Some(now + STOP));
    assert_eq!(course.order(now + STOP, true), Some(Order::Send(Signal::KILL)), "and it did not come to serve");

    let mut course = Course::new(now, None, false);
    course.stop(now);
    assert_eq!(course.order(now, false), Some(Order::Leave(0)), "nothing to write");
}

#[test]
fn a_daemon_that_was_told_to_leave_by_somebody_else_has_time_and_is_started_again() {
    let (mut course, now) = serving();
    course.leaves(now);
    assert!(!course.is_serving());
    assert_eq!(course.order(now + WATCHDOG, false), None, "its silence is not counted");
    assert_eq!(course.order(now + STOP, false), Some(Order::Send(Signal::KILL)));
    assert_eq!(course.ended(now + STOP, End::Exit(0), false), Ok(Duration::ZERO));
}

#[test]
fn to_be_renewed_the_daemon_is_killed_first() {
    let (mut course, now) = serving();
    course.renew();
    assert_eq!(course.order(now, true), Some(Order::Send(Signal::KILL)));
    assert_eq!(course.order(now, true), None);
    course.ended(now, End::Signal(9), true).unwrap();
    assert_eq!(course.order(now, true), Some(Order::Renew));
    course.not_renewed();
    assert_eq!(course.order(now, true), Some(Order::Start));
}

#[test]
fn a_stop_is_stronger_than_a_renewal() {
    let (mut course, now) = serving();
    course.renew();
    course.order(now, true);
    course.stop(now);
    course.renew();
    // But what the killed daemon held is written first.
    assert_eq!(course.ended(now, End::Signal(9), true), Ok(Duration::ZERO));
    assert_eq!(course.order(now, true), Some(Order::Start));
    course.started(now);
    course.serves();
    assert_eq!(course.order(now, true), Some(Order::Send(Signal::TERM)));
}
