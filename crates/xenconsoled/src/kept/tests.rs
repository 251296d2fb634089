//! What the last daemon left, where it is not what a daemon leaves; and a keeper that has no room.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use logproto::{Config, RootPath};

use super::*;
use crate::book::{HandRecord, Phase};

fn rules(dir: &Path) -> Rules {
    let Config { defaults, bounds, .. } = Config::default();
    Rules { run: RootPath::new(dir), log: RootPath::new(Path::new("/l")), defaults, bounds }
}

/// A daemon that could not read one of these did not start, and neither did the next one.
#[test]
fn a_daemon_starts_with_whatever_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::open(dir.path()).unwrap();
    let phase = Phase::Writing { offset: 0, len: 1 << 60, consume: 1, marked: 0 };
    book.set_hand(1, HandRecord { stream: StreamId(7), phase }).unwrap();
    // Its text is behind the end of the file.
    let phase = Phase::Writing { offset: 0, len: 100, consume: 1, marked: 0 };
    book.set_hand(2, HandRecord { stream: StreamId(7), phase }).unwrap();
    std::fs::write(dir.path().join(crate::roll::NAME), b"open\t18446744073709551615\t\xff\nend\n").unwrap();
    let mut received = Vec::new();
    for number in [1, 2] {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        received.extend([(format!("hand-r-{number}"), reader), (format!("hand-w-{number}"), writer)]);
    }
    let file = || -> OwnedFd { tempfile::tempfile().unwrap().into() };
    received.extend(["hand-r-3", "hand-w-3", "log-1", "nonsense"].map(|name| (name.to_owned(), file())));
    let (mut kept, legacy) = Kept::open(&rules(dir.path()), None, received).unwrap();
    assert_eq!((legacy.logs.len(), legacy.hands.len()), (0, 2));
    kept.make_hand(None).unwrap();
}

/// Each change of an entry is a line: a toolstack that writes one without end filled the memory of the host.
#[test]
fn the_roll_does_not_grow_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut kept, _) = Kept::open(&rules(dir.path()), None, Vec::new()).unwrap();
    for id in 0..200_000 {
        let written = kept.roll.gone(StreamId(id));
        kept.note(written);
    }
    assert!(std::fs::metadata(dir.path().join(crate::roll::NAME)).unwrap().len() < 2 << 20);
}

/// Of a hand whose two ends did not both find room the next daemon found one, and threw it away with what was in it.
#[test]
fn what_the_keeper_has_no_room_for_is_used_counted_and_not_kept_by_half() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let keeper = UnixDatagram::bind(&path).unwrap();
    let mut notify = Notify::connect(path.as_os_str(), None).unwrap();
    // Room for one name like a hand's.
    let inherited = vec![("x".repeat(crate::notify::message::NAMES - 16), tempfile::tempfile().unwrap().into())];
    notify.inherit(&inherited);
    let (mut kept, _) = Kept::open(&rules(dir.path()), Some(notify), Vec::new()).unwrap();
    kept.make_hand(None).unwrap();
    let Some(Safe::Hand(None, hand)) = kept.safe() else { panic!("it cannot be used") };
    assert_eq!(kept.not_kept(), 1);
    keeper.set_nonblocking(true).unwrap();
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(len) = keeper.recv(&mut buffer) {
        told.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
    }
    assert!(told.iter().any(|text| text.contains("FDSTOREREMOVE=1")), "{told:?}");
    kept.hand_back(&hand);
    assert_eq!(kept.not_kept(), 0);
}

/// A daemon was killed before its keeper had heard that an old log was over, whose number a new one had: the next daemon read the
/// old one's pipe for the new one, and took away the new one's name.
#[test]
fn a_pipe_that_is_not_the_logs_own_is_not_taken_for_it() {
    for (is_own, logs) in [(true, 1), (false, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let rules = rules(dir.path());
        let key = LogKey::Entry(logproto::EntryKey { owner: logproto::Owner::Host, name: "a".into() });
        let mut entry = logproto::Entry::default();
        entry.nodes[0] = Some(dir.path().join("p").into_os_string().into_encoded_bytes());
        entry.nodes[1] = Some(b"/l/a.log".to_vec());
        let request = entry.check(key.entry().unwrap(), &rules).unwrap().unwrap();
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let (other, _other_writer) = rustix::pipe::pipe().unwrap();
        let fifo = pipe::id_of(if is_own { &reader } else { &other }).unwrap();
        let (mut kept, _) = Kept::open(&rules, None, Vec::new()).unwrap();
        let (account, id) = (kept.take_account().unwrap(), StreamId(5));
        let book = Arc::clone(kept.book());
        let source = Source::new(reader.try_clone().unwrap(), fifo, request.policy, id, book, account);
        kept.opened(id, account, key, request, Arc::new(source));
        drop(kept);
        let (_, legacy) = Kept::open(&rules, None, vec![("log-5".to_owned(), reader)]).unwrap();
        assert_eq!((legacy.logs.len(), legacy.next), (logs, StreamId(6)));
    }
}
