use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use logproto::{Code, Config, DomId, Entry, EntryKey, Owner};

use super::*;
use crate::key::{ConsoleKey, Kind};
use crate::logs::{Action, FifoId, Seen};

struct World {
    inlets: Inlets,
    logs: Logs,
    dir: tempfile::TempDir,
    now: Instant,
}

fn console(domid: u16) -> Own {
    Own::Console(ConsoleKey { domid: DomId::new(domid).unwrap(), kind: Kind::Pv })
}

fn wanted(file: &str, other: &str) -> Wanted {
    Wanted { file: file.into(), other: other.into(), stamp: Stamp::None, policy: Policy::Drop }
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let Config { defaults, bounds, .. } = Config::default();
    let rules = Rules { run: RootPath::new(dir.path()), log: RootPath::new("/l".as_ref()), defaults, bounds };
    let keeping = Keeping { dir: RootPath::new("/l/console".as_ref()), limit: 8192, copies: 2 };
    World { inlets: Inlets::new(keeping, rules.clone(), false), logs: Logs::new(rules), dir, now: Instant::now() }
}

impl World {
    fn want(&mut self, domid: u16, wanted: Wanted) -> Vec<Own> {
        self.inlets.want(console(domid), wanted, &mut self.logs, self.now);
        self.process()
    }

    fn process(&mut self) -> Vec<Own> {
        self.inlets.process(&mut self.logs, self.now)
    }

    /// The log that is to be opened now: its number and its file.
    fn opens(&mut self) -> (StreamId, Request) {
        match self.logs.action() {
            Some(Action::Open(stream, LogKey::Own(_), request)) => (stream, request),
            other => panic!("{other:?}"),
        }
    }

    fn ends(&mut self) -> StreamId {
        match self.logs.action() {
            Some(Action::End(stream, _)) => stream,
            other => panic!("{other:?}"),
        }
    }

    fn opened(&mut self, domid: u16, stream: StreamId) {
        self.logs.opened(stream, FifoId { dev: 0, ino: stream.0, born: 0 });
        assert!(self.inlets.opened(console(domid), stream));
    }

    fn ended(&mut self, stream: StreamId) {
        self.logs.ended(stream);
        self.inlets.ended(self.now);
    }

    fn pipe(&self, request: &Request) -> String {
        let path = self.dir.path().join(request.pipe.relative());
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut text = Vec::new();
        let _ = std::fs::File::options().read(true).custom_flags(nonblock).open(path).unwrap().read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }
}

#[test]
fn a_log_that_is_wanted_is_opened_and_filled() {
    let mut world = world();
    assert_eq!(world.want(7, wanted("a.log", "a-7.log")), []);
    let (stream, request) = world.opens();
    assert_eq!((request.file.relative().to_str(), request.limit, request.copies), (Some("console/a.log"), 8192, 2));
    let (own, now) = (console(7), world.now);
    assert!(!world.inlets.is_ready(own, now), "what is in its pipe would be nobody's");
    assert!(world.inlets.is_ready(own, now + OPENING), "but nobody waits long for a disk");
    world.opened(7, stream);
    assert!(world.inlets.is_ready(own, now));
    world.inlets.write(own, b"text", |_| ());
    assert_eq!(world.pipe(&request), "text");
    // The same once more is nothing new.
    assert_eq!(world.want(7, wanted("a.log", "a-7.log")), []);
    assert_eq!(world.logs.action(), None);
    world.inlets.end(own, &mut world.logs);
    assert_eq!(world.ends(), stream);
    assert!(world.inlets.is_ready(own, now), "without a log there is nothing to wait for");
}

#[test]
fn another_name_is_another_log_and_the_old_one_ends() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (first, _) = world.opens();
    world.opened(7, first);
    world.want(7, wanted("b.log", "b-7.log"));
    assert_eq!(world.ends(), first);
    let (second, request) = world.opens();
    assert!(second != first && request.file.relative().ends_with("b.log"));
}

#[test]
fn what_cannot_be_opened_is_tried_again_and_what_was_written_meanwhile_is_there() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (first, _) = world.opens();
    world.inlets.write(console(7), b"early ", |_| ());
    let refusal = Refusal::new(Code::FileOpen, "no");
    world.inlets.refused(console(7), first, &refusal, world.now);
    world.logs.refused(first, refusal);
    world.process();
    assert_eq!(world.logs.action(), None, "not at once");
    world.now += AGAIN;
    world.process();
    let (second, request) = world.opens();
    world.opened(7, second);
    world.inlets.write(console(7), b"late", |_| ());
    assert_eq!(world.pipe(&request), "early late");
}

#[test]
fn of_two_that_want_one_file_the_second_gets_another_if_the_first_is_there() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (first, _) = world.opens();
    world.opened(7, first);
    assert_eq!(world.want(8, wanted("a.log", "a-8.log")), [console(7)], "first it has to be known whether it is");
    assert_eq!(world.logs.action(), None);
    world.inlets.is_there(console(7), world.now);
    world.process();
    let (_, request) = world.opens();
    assert!(request.file.relative().ends_with("a-8.log"));
}

#[test]
fn of_two_that_want_one_file_the_second_gets_it_if_the_first_is_gone() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (first, _) = world.opens();
    world.opened(7, first);
    world.want(8, wanted("a.log", "a-8.log"));
    world.inlets.end(console(7), &mut world.logs);
    assert_eq!(world.ends(), first);
    world.ended(first);
    world.process();
    let (_, request) = world.opens();
    assert!(request.file.relative().ends_with("a.log"));
}

#[test]
fn a_log_at_its_end_is_hurried() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (first, _) = world.opens();
    world.opened(7, first);
    world.inlets.end(console(7), &mut world.logs);
    world.ends();
    world.want(8, wanted("a.log", "a-8.log"));
    assert_eq!(world.ends(), first);
    world.ended(first);
    world.process();
    assert!(world.opens().1.file.relative().ends_with("a.log"));
}

#[test]
fn what_an_entry_has_is_not_taken_from_it() {
    let mut world = world();
    let key = EntryKey { owner: Owner::Host, name: "a".into() };
    let mut entry = Entry::default();
    entry.nodes[0] = Some(world.dir.path().join("p").into_os_string().into_encoded_bytes());
    entry.nodes[1] = Some(b"/l/console/a.log".to_vec());
    world.logs.seen(&key, &Seen { entry: entry.clone(), fifo: None, began: 0 });
    assert!(matches!(world.logs.action(), Some(Action::Open(_, LogKey::Entry(_), _))));
    world.want(7, wanted("a.log", "a-7.log"));
    assert!(world.opens().1.file.relative().ends_with("a-7.log"));
    // And an entry does not get what a console has.
    let other = EntryKey { owner: Owner::Host, name: "b".into() };
    entry.nodes[1] = Some(b"/l/console/a-7.log".to_vec());
    entry.nodes[0] = Some(world.dir.path().join("q").into_os_string().into_encoded_bytes());
    world.logs.seen(&other, &Seen { entry, fifo: None, began: 0 });
    match world.logs.action() {
        Some(Action::Answer(_, _, _, logproto::State::Error(refusal))) => {
            assert!(refusal.to_string().contains("/local/domain/7/console"), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_of_another_directory_do_not_meet_those_of_entries() {
    let mut world = world();
    world.inlets.is_apart = true;
    world.inlets.keeping.dir = RootPath::new("/elsewhere".as_ref());
    world.logs.set_own_apart();
    let key = EntryKey { owner: Owner::Host, name: "a".into() };
    let mut entry = Entry::default();
    entry.nodes[0] = Some(world.dir.path().join("p").into_os_string().into_encoded_bytes());
    entry.nodes[1] = Some(b"/l/a.log".to_vec());
    world.logs.seen(&key, &Seen { entry, fifo: None, began: 0 });
    world.logs.action();
    world.want(7, wanted("a.log", "a-7.log"));
    assert_eq!(world.opens().1.file.relative().to_str(), Some("a.log"));
}

#[test]
fn an_earlier_daemons_log_goes_on_if_it_has_the_same_file() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (stream, request) = world.opens();
    let fifo = FifoId { dev: 0, ino: 1, born: 0 };
    let mut next = self::world();
    next.logs.resume(stream, LogKey::Own(console(7)), request.clone(), fifo, false);
    assert_eq!(next.want(7, wanted("a.log", "a-7.log")), []);
    assert_eq!(next.logs.action(), None, "it is open");
    assert!(next.inlets.is_ready(console(7), next.now));
    // With another name it ends, and another one begins.
    next.want(7, wanted("b.log", "b-7.log"));
    assert_eq!(next.ends(), stream);
    assert!(next.opens().1.file.relative().ends_with("b.log"));
}

/// A guest that was started anew was held back until its log was tried again, for 5 s, where the log of its last life was slow to end.
#[test]
fn whoever_holds_back_is_seen_to_in_time_whatever_the_log_waits_for() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (first, _) = world.opens();
    world.opened(7, first);
    world.inlets.end(console(7), &mut world.logs);
    world.want(8, wanted("a.log", "a-8.log"));
    let (own, since) = (console(8), world.now);
    assert!(!world.inlets.is_ready(own, since));
    assert!(world.inlets.deadline().is_some_and(|due| due <= since + OPENING), "nothing would wake it up");
    world.now += OPENING;
    world.process();
    assert!(world.inlets.is_ready(own, world.now));
    assert_eq!(world.inlets.deadline(), Some(since + AGAIN));
}

/// A daemon that was started with another `--console-limit`, `--console-copies` or `--timestamp` left its predecessor's logs as they were.
#[test]
fn an_earlier_daemons_log_goes_on_as_this_one_is_told() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (stream, request) = world.opens();
    let mut next = self::world();
    (next.inlets.keeping.limit, next.inlets.keeping.copies) = (4096, 7);
    let fifo = FifoId { dev: 0, ino: 1, born: 0 };
    next.logs.resume(stream, LogKey::Own(console(7)), request.clone(), fifo, false);
    next.want(7, Wanted { stamp: Stamp::Line, ..wanted("a.log", "a-7.log") });
    let expected = Request { limit: 4096, copies: 7, stamp: Stamp::Line, ..request };
    assert_eq!(next.logs.action(), Some(Action::Adjust(stream, expected.clone())));
    assert_eq!(next.logs.own(console(7)), Some((stream, &expected)));
    assert_eq!(next.logs.action(), None);
}

/// Without a descriptor for it at that moment, a log that went on from an earlier daemon was never written again.
#[test]
fn an_earlier_daemons_log_whose_pipe_cannot_be_opened_gets_another() {
    let mut world = world();
    world.want(7, wanted("a.log", "a-7.log"));
    let (stream, request) = world.opens();
    let mut next = self::world();
    let fifo = FifoId { dev: 0, ino: 1, born: 0 };
    next.logs.resume(stream, LogKey::Own(console(7)), request, fifo, false);
    next.want(7, wanted("a.log", "a-7.log"));
    let (own, now) = (console(7), next.now);
    // What is below /proc/self/fd for a socket cannot be opened.
    next.inlets.resume(own, std::os::unix::net::UnixDatagram::unbound().unwrap(), &mut next.logs, now);
    assert_eq!(next.ends(), stream);
    next.ended(stream);
    next.process();
    let (second, request) = next.opens();
    next.opened(7, second);
    next.inlets.write(own, b"text", |_| ());
    assert_eq!(next.pipe(&request), "text");
}
