//! The keeper, with a daemon of the test's own that does what it is told: what is kept outlives every end of the daemon.
//!
//! The test program plays all three parts: it runs itself as the keeper, which runs it as the daemon ([`parts`]); the test itself
//! has a line to the daemon ([`scene`]).

mod parts;
mod real;
mod scene;

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use scene::{Scene, Settings};
use testbed::until;

/// The keeper's part, when this program runs as one.
#[test]
fn keeper_part() {
    parts::keeper();
}

/// The daemon's part.
#[test]
fn daemon_part() {
    parts::daemon();
}

#[test]
fn what_is_kept_survives_a_hundred_kills_in_order_and_by_name() {
    let mut scene = Scene::begin(&Settings::default());
    let mut daemon = scene.daemon();
    daemon.ready();
    // Each pipe is known by its inode, and holds a text.
    let mut expected = daemon.store("log-1", 3);
    expected.extend(daemon.store("log-2", 1));
    for round in 0..100 {
        daemon.kill();
        daemon = scene.daemon();
        assert_eq!(daemon.received, expected, "after {round} kills");
        daemon.ready();
        if round % 10 == 0 {
            // More of a name that is there.
            let more = daemon.store("log-1", 1);
            expected.splice(expected.len() - 1..expected.len() - 1, more);
        }
    }
    assert_eq!(daemon.ask("texts"), "text;".repeat(expected.len()));
}

#[test]
fn what_was_said_just_before_the_end_counts() {
    let mut scene = Scene::begin(&Settings::default());
    let mut stored = 0;
    for _ in 0..20 {
        let daemon = scene.daemon();
        assert_eq!(daemon.received.len(), stored);
        daemon.ready();
        // As much as fits while the keeper does not look.
        scene.halt();
        stored += daemon.ask("store-what-fits 400").parse::<usize>().unwrap();
        daemon.kill();
        scene.signal(Signal::CONT);
    }
}

#[test]
fn what_is_removed_is_closed() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    let before = scene.keeper_pipes(&daemon);
    daemon.store("a", 2);
    let kept = daemon.store("b", 1);
    daemon.ask("remove a");
    daemon.kill();
    let daemon = scene.daemon();
    assert_eq!(daemon.received, kept);
    assert_eq!(scene.keeper_pipes(&daemon), before + 1);
}

#[test]
fn the_daemon_has_what_is_kept_and_nothing_else() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    assert_eq!(daemon.open, [0, 1, 2], "{}", daemon.pid);
    daemon.ready();
    daemon.store("a", 5);
    daemon.kill();
    assert_eq!(scene.daemon().open, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_stranger_is_not_heard() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    let kept = daemon.store("a", 1);
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.connect(scene.socket()).unwrap();
    for text in ["FDSTOREREMOVE=1\nFDNAME=a", "STOPPING=1", "FDSTORE=1"] {
        stranger.send(text.as_bytes()).unwrap();
    }
    daemon.ask("status anything");
    daemon.kill();
    assert_eq!(scene.daemon().received, kept);
}

#[test]
fn a_flood_of_descriptors_ends_at_the_bound_and_what_was_there_first_stays() {
    let settings = Settings { descriptors: Some(712), ..Settings::default() };
    let mut scene = Scene::begin(&settings);
    let daemon = scene.daemon();
    daemon.ready();
    let first = daemon.store("first", 1);
    // Without looking at what it was told about the bound.
    assert_eq!(daemon.ask("flood 5000"), "done");
    daemon.kill();
    let daemon = scene.daemon();
    assert_eq!((daemon.received.len(), &daemon.received[..1]), (100, &first[..]));
    let many: BTreeSet<_> = daemon.received[1..].iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(many.len(), 99, "each of its own name");
    assert!(scene.keeper_descriptors().len() < 150);
}

/// As many logs as a large host has.
#[test]
fn four_thousand_are_kept() {
    let mut scene = Scene::begin(&Settings { descriptors: Some(16384), ..Settings::default() });
    let daemon = scene.daemon();
    daemon.ready();
    assert_eq!(daemon.ask("flood 4000"), "done");
    daemon.kill();
    assert_eq!(scene.daemon().received.len(), 4000);
}

#[test]
fn a_flood_of_words_costs_no_memory() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    daemon.ask("chatter 1000");
    let before = scene.keeper_memory();
    daemon.ask("chatter 50000");
    let grown = scene.keeper_memory().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes");
}

#[test]
fn a_daemon_that_is_stuck_is_replaced() {
    let settings = Settings { watchdog: Some(Duration::from_secs(1)), ..Settings::default() };
    let mut scene = Scene::begin(&settings);
    let daemon = scene.daemon();
    daemon.ready();
    let kept = daemon.store("a", 1);
    daemon.tell("wedge");
    let daemon = scene.daemon();
    assert_eq!(daemon.received, kept);
    daemon.ready();
    daemon.signal(Signal::STOP);
    let daemon = scene.daemon();
    assert_eq!(daemon.received, kept);
    // One that does not even die of SIGABRT.
    daemon.ask("ready-for-anything");
    assert_eq!(scene.daemon().received, kept);
}

#[test]
fn a_stop_reaches_a_daemon_that_was_stopped() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    daemon.ask("status ready was heard before this");
    daemon.signal(Signal::STOP);
    scene.signal(Signal::TERM);
    assert_eq!(scene.ended(), Some(7));
}

#[test]
fn a_stop_is_passed_on_and_its_status_comes_back() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    // The daemon of this test leaves with 7 when it is told to.
    scene.signal(Signal::TERM);
    assert_eq!(scene.ended(), Some(7));
    assert!(!scene.socket().exists());
    daemon.is_gone();
}

#[test]
fn a_daemon_that_only_begins_is_stopped_when_it_can_be() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    daemon.store("a", 1);
    daemon.kill();
    let daemon = scene.daemon();
    scene.signal(Signal::INT);
    // Passed on now, it would end the daemon before this answer.
    assert_eq!(daemon.ask("status still here"), "done");
    daemon.tell("ready");
    assert_eq!(scene.ended(), Some(7));
}

/// Killed while it should have written what is kept, the daemon took the keeper with it, and all that.
#[test]
fn a_stop_is_seen_through_when_the_daemon_dies_of_it() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    let kept = daemon.store("a", 1);
    scene.halt();
    scene.signal(Signal::TERM);
    daemon.kill();
    scene.signal(Signal::CONT);
    let daemon = scene.daemon();
    assert_eq!(daemon.received, kept);
    daemon.tell("ready");
    assert_eq!(scene.ended(), Some(7));
}

#[test]
fn a_hangup_is_passed_on() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    daemon.ask("status ready was heard before this");
    until("the hangup", || {
        // A signal that comes before the keeper has read that the daemon is ready is not passed on.
        scene.signal(Signal::HUP);
        (daemon.ask("hangup") == "true").then_some(())
    });
}

#[test]
fn a_hangup_is_not_for_a_daemon_that_only_begins() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    assert_eq!(daemon.ask("hangup"), "false");
    for _ in 0..5 {
        scene.signal(Signal::HUP);
        daemon.ask("barrier");
    }
    assert_eq!(daemon.ask("hangup"), "false");
}

#[test]
fn a_daemon_that_cannot_begin_ends_the_keeper() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.tell("leave 22");
    assert_eq!(scene.ended(), Some(22));
}

#[test]
fn one_that_has_served_is_started_again_however_it_ends() {
    let mut scene = Scene::begin(&Settings::default());
    for status in [0, 1, 22] {
        let daemon = scene.daemon();
        daemon.ready();
        daemon.tell(&format!("leave {status}"));
    }
    scene.daemon().ready();
}

#[test]
fn without_its_keeper_the_daemon_goes_on() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    scene.signal(Signal::KILL);
    assert_eq!(scene.ended(), None);
    assert_eq!(daemon.ask("keeper"), "gone");
    assert_eq!(daemon.ask("status alive"), "done");
}

#[test]
fn a_barrier_is_lifted_when_what_came_before_is_done() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    assert_eq!(daemon.ask("barrier"), "lifted");
}

#[test]
fn the_keeper_becomes_another_program_and_keeps_everything() {
    let mut scene = Scene::begin(&Settings::default());
    let mut daemon = scene.daemon();
    daemon.ready();
    let before = scene.keeper_pipes(&daemon);
    let mut kept = daemon.store("a", 2);
    kept.extend(daemon.store("b", 1));
    for _ in 0..5 {
        scene.replace_program();
        assert!(scene.keeper_program().ends_with("(deleted)"));
        scene.signal(Signal::USR2);
        daemon = scene.daemon();
        assert_eq!((&daemon.received, &daemon.open[..]), (&kept, &[0, 1, 2, 3, 4, 5][..]));
        assert_eq!(scene.keeper_program(), scene.program().to_str().unwrap());
        daemon.ready();
    }
    assert_eq!(scene.keeper_pipes(&daemon), before + 3);
}

#[test]
fn a_keeper_that_cannot_become_another_program_stays_what_it_is() {
    let mut scene = Scene::begin(&Settings::default());
    let daemon = scene.daemon();
    daemon.ready();
    let kept = daemon.store("a", 2);
    let aside = scene.program().with_extension("aside");
    std::fs::rename(scene.program(), &aside).unwrap();
    scene.signal(Signal::USR2);
    daemon.is_gone();
    // It tries to start a daemon, in vain.
    std::fs::rename(&aside, scene.program()).unwrap();
    assert_eq!(scene.daemon().received, kept);
}
