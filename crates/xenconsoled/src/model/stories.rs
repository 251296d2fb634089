//! What the model has found, each as a short story; and what is killed at every place where it can be.

use std::ffi::OsStr;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;

use super::world::{World, relieve};
use super::{crash, disk};

/// The limit and the copies of most.
const PLENTY: (&str, &str) = ("65536", "20");

struct Story {
    world: World,
    run: usize,
}

impl Story {
    /// One log that is ready, and somebody who writes to it.
    fn begin(policy: &str, stamp: &str) -> Story {
        let mut world = World::calm();
        let nodes = [PLENTY.0, PLENTY.1, policy, stamp];
        let run = world.toolstack.borrow_mut().ask_for(0, nodes, &mut world.store);
        world.settle().unwrap();
        Story { world, run }
    }

    /// Writes to the log.
    fn say(&self, bytes: usize) {
        let written = self.world.toolstack.borrow_mut().runs[self.run].write(bytes);
        assert!(written > 0, "the pipe is full");
    }

    /// The disk has so much room, and no more.
    fn fill_disk(&self, room: usize) {
        disk::set(OsStr::new("log-0"), Some(disk::Trouble { room, errno: Errno::NOSPC }));
    }

    fn kill(&mut self) {
        self.world.bury().unwrap();
        self.world.start().unwrap();
    }

    /// All is well again, and everything is there.
    fn end(mut self) {
        self.world.end().unwrap();
    }
}

/// Two hands were made, one was used, and the daemon was killed. The next one took a pipe of its own in place of the one that was
/// never used and that the keeper held: what was in it when that daemon was killed in its turn was lost.
#[test]
fn a_hand_that_was_never_used_is_kept_all_the_same() {
    let mut story = Story::begin("block", "none");
    story.kill();
    story.world.work().unwrap();
    story.fill_disk(0);
    story.say(1000);
    for _ in 0..3 {
        story.world.work().unwrap();
        story.world.write().unwrap();
        story.world.audit().unwrap();
    }
    story.kill();
    story.end();
}

/// Runs a story with a kill at each place where the daemon can be killed in `scene`, and once without.
fn killed_at_each_place(begin: impl Fn() -> Story, scene: impl Fn(&mut World)) {
    for place in 0.. {
        let mut story = begin();
        crash::set(Some(place));
        scene(&mut story.world);
        crash::set(None);
        let is_killed = story.world.life.is_none();
        if is_killed {
            story.world.start().unwrap();
        }
        story.world.audit().unwrap();
        story.end();
        if !is_killed {
            assert!(place > 0, "there was no place");
            return;
        }
    }
}

/// A log whose file cannot be written, and whose pipe is full meanwhile.
fn stuck(policy: &str, stamp: &str, room: usize) -> Story {
    let mut story = Story::begin(policy, stamp);
    story.fill_disk(room);
    story.say(20_000);
    story.world.write().unwrap();
    story.world.work().unwrap();
    story.say(50_000);
    story
}

/// The writer comes to it after a while: what is to be tried again is due.
fn write_later(world: &mut World) {
    world.pass(Duration::from_secs(2));
    world.write().unwrap();
}

/// What was thrown away by a daemon that was killed before it had counted it was missing from the log, and nothing said so.
#[test]
fn what_is_dropped_is_counted_wherever_the_daemon_is_killed() {
    killed_at_each_place(|| stuck("drop", "none", 0), |world| drop(world.relieve().unwrap()));
}

/// A daemon that was killed while it wrote a marker, or after that and before it had noted so, was followed by one that told of the
/// same gap again.
#[test]
fn a_gap_is_told_once_wherever_the_daemon_is_killed() {
    for stamp in ["none", "line"] {
        let begin = || {
            let mut story = stuck("drop", stamp, 0);
            story.world.relieve().unwrap();
            disk::heal();
            story
        };
        killed_at_each_place(begin, write_later);
    }
}

/// A writer that had no hand yet when it was told to end a log could not read what was in the log's pipe, and closed it all the same.
/// And a log without a hand counted as one that cannot be written: what came was dropped.
#[test]
fn a_log_is_not_ended_for_want_of_a_hand() {
    let mut story = Story::begin("drop", "none");
    story.world.bury().unwrap();
    story.say(30_000);
    let world = &mut story.world;
    world.start().unwrap();
    world.toolstack.borrow_mut().ask_again(0, None, &mut world.store);
    world.work().unwrap();
    // Its file is wanted, so it is not read any longer than has to be.
    let nodes = [PLENTY.0, PLENTY.1, "drop", "none"];
    world.toolstack.borrow_mut().ask_for(1, nodes, &mut world.store);
    world.work().unwrap();
    story.end();
}

/// The writer took bytes as soon as a log was open. A daemon that was killed before the keeper had the log's pipe took them along.
#[test]
fn nothing_is_taken_from_a_pipe_that_nobody_keeps() {
    let mut world = World::calm();
    world.settle().unwrap();
    let nodes = [PLENTY.0, PLENTY.1, "drop", "none"];
    let run = world.toolstack.borrow_mut().ask_for(0, nodes, &mut world.store);
    world.toolstack.borrow_mut().open(0);
    let mut story = Story { world, run };
    story.say(20_000);
    story.fill_disk(0);
    story.world.work().unwrap();
    for _ in 0..3 {
        story.world.write().unwrap();
    }
    story.kill();
    story.world.audit().unwrap();
    story.end();
}

/// Another log takes the place of the one that is served: its FIFO is new, its file the same.
fn take_over(story: &mut Story, policy: &str) {
    let world = &mut story.world;
    let nodes = [PLENTY.0, PLENTY.1, policy, "none"];
    std::fs::remove_file(world.toolstack.borrow().path(0)).unwrap();
    world.toolstack.borrow_mut().ask_for(0, nodes, &mut world.store);
    world.work().unwrap();
}

/// A log had to give way to another while its file, which had been full, had room again, but had not been tried again yet: what was
/// in hand was given up.
#[test]
fn who_gives_way_tries_once_more() {
    let mut story = stuck("block", "none", 0);
    disk::heal();
    take_over(&mut story, "block");
    story.world.write().unwrap();
    story.world.hear_news().unwrap();
    story.end();
}

/// A log had to give way to another, and its pipe was empty since everything in it had been dropped: the marker was never written.
#[test]
fn who_gives_way_tells_what_was_dropped() {
    let mut story = stuck("drop", "none", 0);
    story.world.relieve().unwrap();
    disk::heal();
    take_over(&mut story, "drop");
    story.world.write().unwrap();
    story.world.hear_news().unwrap();
    story.end();
}

/// A log with times came to its end on a disk that had taken a part of what was in hand: all of it was counted as dropped.
#[test]
fn what_was_written_in_part_is_counted_in_part() {
    let mut story = stuck("block", "line", 500);
    take_over(&mut story, "block");
    story.world.write().unwrap();
    story.world.hear_news().unwrap();
    story.end();
}

/// The disk took its time, and so much was written that all of it was dropped while a marker was: the writer told of one gap after
/// the other and came to nothing else, neither to another log nor to the end of this one.
#[test]
fn what_is_dropped_all_the_time_keeps_no_log_from_its_end() {
    let mut story = stuck("drop", "none", 0);
    story.world.relieve().unwrap();
    disk::heal();
    take_over(&mut story, "drop");
    let (toolstack, run) = (Rc::clone(&story.world.toolstack), story.run);
    let pipes = Rc::clone(&story.world.life.as_ref().unwrap().relief);
    disk::set_meanwhile(Some(Box::new(move || {
        toolstack.borrow_mut().runs[run].write(60_000);
        relieve(&toolstack, &pipes, true);
    })));
    story.world.write().unwrap();
    // Bytes that came meanwhile may be left.
    story.world.meanwhile = true;
    story.world.hear_news().unwrap();
    let ending: Vec<bool> =
        story.world.served.values().filter(|served| served.patience.is_some()).map(|served| served.closed).collect();
    assert_eq!(ending, [true], "it has come to its end");
    story.world.meanwhile = false;
    story.end();
}
