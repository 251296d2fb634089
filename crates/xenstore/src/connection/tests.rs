//! A connection against a store that sends what the test wants.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;
use crate::wire::{HEADER_LEN, PAYLOAD_MAX};

/// The store's end.
struct Peer {
    stream: UnixStream,
}

fn pair() -> (Connection, Peer) {
    pair_from(0)
}

fn pair_from(last_id: u64) -> (Connection, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let connection = Connection::new(Stream::from_fd(ours.into(), false), last_id);
    (connection, Peer { stream: theirs })
}

impl Peer {
    /// The next request; it has to be there.
    fn request(&mut self) -> Message {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header).unwrap();
        let mut length = [0; 4];
        length.copy_from_slice(&header[12..]);
        let mut payload = vec![0; u32::from_ne_bytes(length) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        let bytes = [&header[..], &payload].concat();
        Decoder::new().next(&mut &bytes[..]).unwrap().unwrap()
    }

    fn send(&mut self, kind: Kind, request: u32, payload: &[u8]) {
        let message = Message { kind, request, tx: 0, payload: payload.to_vec() };
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }
}

fn read(path: &str) -> Request<'_> {
    Request::Read { path }
}

fn value(text: &str) -> Result<Reply, Error> {
    Ok(Reply::Value(text.into()))
}

#[test]
fn replies_are_matched_by_id_in_any_order() {
    let (mut connection, mut peer) = pair();
    let first = connection.submit(TxId::NONE, read("/a")).unwrap();
    let second = connection.submit(TxId::NONE, read("/b")).unwrap();
    connection.process().unwrap();
    let (one, two) = (peer.request(), peer.request());
    assert_eq!((&one.payload[..], &two.payload[..]), (&b"/a\0"[..], &b"/b\0"[..]));
    peer.send(Kind::READ, two.request, b"b");
    peer.send(Kind::READ, one.request, b"a");
    connection.process().unwrap();
    assert_eq!(connection.next(), Some(Incoming::Reply { id: second, result: value("b") }));
    assert_eq!(connection.next(), Some(Incoming::Reply { id: first, result: value("a") }));
    assert_eq!(connection.next(), None);
}

#[test]
fn what_nobody_asked_for_is_counted_and_ignored() {
    let (mut connection, mut peer) = pair();
    let id = connection.submit(TxId::NONE, read("/a")).unwrap();
    connection.process().unwrap();
    let request = peer.request();
    peer.send(Kind::READ, request.request + 1, b"nobody's");
    peer.send(Kind::WATCH_EVENT, 0, b"no event");
    peer.send(Kind::WATCH_EVENT, 0, b"/a\0\xff\xff\0");
    peer.send(Kind(4711), 99, b"");
    peer.send(Kind::READ, request.request, b"mine");
    peer.send(Kind::READ, request.request, b"once more");
    connection.process().unwrap();
    assert_eq!(connection.next(), Some(Incoming::Reply { id, result: value("mine") }));
    assert_eq!(connection.next(), None);
    assert_eq!(connection.ignored(), 5);
}

#[test]
fn an_answer_that_is_none_ends_the_request_and_not_the_connection() {
    let (mut connection, mut peer) = pair();
    connection.submit(TxId::NONE, read("/a")).unwrap();
    connection.submit(TxId::NONE, Request::TransactionStart).unwrap();
    connection.submit(TxId::NONE, read("/b")).unwrap();
    connection.process().unwrap();
    let [a, start, b] = [peer.request(), peer.request(), peer.request()];
    peer.send(Kind::MKDIR, a.request, b"OK\0");
    peer.send(Kind::TRANSACTION_START, start.request, b"many\0");
    peer.send(Kind::READ, b.request, b"1");
    connection.process().unwrap();
    let results: Vec<_> = std::iter::from_fn(|| connection.next()).collect();
    assert!(matches!(&results[0], Incoming::Reply { result: Err(Error::Protocol(text)), .. } if text.contains("/a")));
    assert!(matches!(&results[1], Incoming::Reply { result: Err(Error::Protocol(_)), .. }));
    assert!(matches!(&results[2], Incoming::Reply { result: Ok(_), .. }));
}

#[test]
fn events_and_replies_come_in_their_order_and_do_not_wait_for_each_other() {
    let (mut connection, mut peer) = pair();
    let id = connection.submit(TxId::NONE, read("/a")).unwrap();
    connection.process().unwrap();
    let request = peer.request();
    for number in 0..1000 {
        peer.send(Kind::WATCH_EVENT, 0, format!("/w/{number}\0t\0").as_bytes());
        connection.process().unwrap();
    }
    peer.send(Kind::READ, request.request, b"1");
    peer.send(Kind::WATCH_EVENT, 0, b"/w/0\0t\0");
    connection.process().unwrap();
    let all: Vec<_> = std::iter::from_fn(|| connection.next()).collect();
    assert_eq!(all.len(), 1001, "each event once");
    assert_eq!(all[999], Incoming::Reply { id, result: value("1") });
    let again = Event { path: "/w/0".into(), token: "t".into() };
    assert_eq!(all[1000], Incoming::Event(again), "what changed after the reply is told after it");
}

#[test]
fn messages_may_come_byte_by_byte() {
    let (mut connection, mut peer) = pair();
    let id = connection.submit(TxId::NONE, read("/a")).unwrap();
    connection.process().unwrap();
    let reply = Message { kind: Kind::READ, request: peer.request().request, tx: 0, payload: b"slow".to_vec() };
    let mut bytes = Vec::new();
    reply.encode(&mut bytes).unwrap();
    for byte in bytes {
        assert_eq!(connection.next(), None);
        peer.stream.write_all(&[byte]).unwrap();
        connection.process().unwrap();
    }
    assert_eq!(connection.next(), Some(Incoming::Reply { id, result: value("slow") }));
}

#[test]
fn a_store_that_takes_nothing_blocks_nobody() {
    let (mut connection, mut peer) = pair();
    let big = vec![b'x'; 4000];
    let mut requests = 0;
    while !connection.wants_write() {
        connection.submit(TxId::NONE, Request::Write { path: "/a", value: &big }).unwrap();
        connection.process().unwrap();
        requests += 1;
        assert!(requests < 100_000, "the socket never fills up");
    }
    for _ in 0..requests {
        let request = peer.request().request;
        peer.send(Kind::WRITE, request, b"OK\0");
        connection.process().unwrap();
    }
    assert_eq!(std::iter::from_fn(|| connection.next()).count(), requests);
    connection.process().unwrap();
    assert!(!connection.wants_write());
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let (mut connection, mut peer) = pair();
    connection.submit(TxId::NONE, read("/a")).unwrap();
    connection.process().unwrap();
    let request = peer.request().request;
    let header = [Kind::READ.0, request, 0, PAYLOAD_MAX as u32 + 1].map(u32::to_ne_bytes).concat();
    assert_eq!(header.len(), HEADER_LEN);
    peer.stream.write_all(&header).unwrap();
    let error = connection.process().unwrap_err();
    assert!(matches!(&error, Error::Protocol(text) if text.contains("4097")), "{error}");
    assert_eq!(connection.submit(TxId::NONE, read("/a")), Err(error.clone()));
    assert_eq!(connection.process(), Err(error));
    assert_eq!(connection.take_pending().len(), 1);
}

#[test]
fn what_came_before_the_end_is_not_lost() {
    let (mut connection, mut peer) = pair();
    let answered = connection.submit(TxId::NONE, read("/a")).unwrap();
    let pending = connection.submit(TxId::NONE, read("/b")).unwrap();
    connection.process().unwrap();
    let request = peer.request().request;
    peer.request();
    peer.send(Kind::READ, request, b"last words");
    drop(peer);
    // There is something to write too, which fails: the answer is read all the same.
    connection.submit(TxId::NONE, read("/c")).unwrap();
    assert!(matches!(connection.process(), Err(Error::Disconnected(_))));
    assert_eq!(connection.next(), Some(Incoming::Reply { id: answered, result: value("last words") }));
    assert_eq!(connection.next(), None);
    assert_eq!(connection.take_pending()[0], pending);
}

#[test]
fn an_end_within_a_message_is_told() {
    let (mut connection, mut peer) = pair();
    peer.stream.write_all(&[0; 5]).unwrap();
    drop(peer);
    let error = connection.process().unwrap_err();
    assert!(error.to_string().contains("in the middle of a message"), "{error}");
}

#[test]
fn ids_wrap_around_past_those_in_use_and_zero() {
    let (mut connection, mut peer) = pair_from(u64::from(u32::MAX) - 2);
    let ids: Vec<_> = (0..4).map(|_| connection.submit(TxId::NONE, read("/a")).unwrap()).collect();
    connection.process().unwrap();
    let wire: Vec<u32> = (0..4).map(|_| peer.request().request).collect();
    assert_eq!(wire, [u32::MAX - 1, u32::MAX, 1, 2], "0 is that of watch events");
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    // Once more around, with 1 unanswered.
    for request in [wire[0], wire[1], wire[3]] {
        peer.send(Kind::READ, request, b"");
    }
    connection.process().unwrap();
    connection.next_id = 2 * (u64::from(u32::MAX) + 1);
    connection.submit(TxId::NONE, read("/a")).unwrap();
    connection.process().unwrap();
    assert_eq!(peer.request().request, 2);
}

#[test]
fn a_long_directory_is_asked_for_in_parts_within_its_transaction() {
    let (mut connection, mut peer) = pair();
    let id = connection.submit(TxId(7), Request::Directory { path: "/libxl" }).unwrap();
    connection.process().unwrap();
    let request = peer.request();
    peer.send(Kind::ERROR, request.request, b"E2BIG\0");
    for (offset, part) in [(0, &b"5\0a\0b\0"[..]), (4, b"6\0x\0"), (0, b"6\0a\0"), (2, b"6\0c\0\0")] {
        connection.process().unwrap();
        assert_eq!(connection.next(), None);
        let request = peer.request();
        assert_eq!((request.kind, request.tx), (Kind::DIRECTORY_PART, 7));
        assert_eq!(request.payload, format!("/libxl\0{offset}\0").as_bytes());
        peer.send(Kind::DIRECTORY_PART, request.request, part);
    }
    connection.process().unwrap();
    let result = Ok(Reply::Names(vec!["a".into(), "c".into()]));
    assert_eq!(connection.next(), Some(Incoming::Reply { id, result }));
    assert_eq!(connection.waiting_since(), None);
}

#[test]
fn an_error_in_a_later_part_is_the_requests_error() {
    let (mut connection, mut peer) = pair();
    let id = connection.submit(TxId::NONE, Request::Directory { path: "/a" }).unwrap();
    connection.process().unwrap();
    let request = peer.request().request;
    peer.send(Kind::ERROR, request, b"E2BIG\0");
    connection.process().unwrap();
    let request = peer.request().request;
    peer.send(Kind::ERROR, request, b"ENOSYS\0");
    connection.process().unwrap();
    let error = Error::Store { request: "DIRECTORY", path: "/a".into(), errno: Errno::Enosys };
    assert_eq!(connection.next(), Some(Incoming::Reply { id, result: Err(error) }));
}

#[test]
fn waiting_is_counted_from_the_last_answer() {
    let (mut connection, mut peer) = pair();
    assert_eq!(connection.waiting_since(), None);
    connection.submit(TxId::NONE, read("/a")).unwrap();
    let first = connection.waiting_since().unwrap();
    connection.submit(TxId::NONE, read("/b")).unwrap();
    assert_eq!(connection.waiting_since(), Some(first), "another request makes it no younger");
    connection.process().unwrap();
    let request = peer.request().request;
    peer.send(Kind::READ, request, b"");
    connection.process().unwrap();
    assert!(connection.waiting_since().unwrap() > first, "a store that answers is not silent");
    let request = peer.request().request;
    peer.send(Kind::READ, request, b"");
    connection.process().unwrap();
    assert_eq!(connection.waiting_since(), None);
}

/// /dev/xen/xenbus never says that it can be written: whoever waited for that would wait forever.
#[test]
fn a_device_is_never_waited_for_to_be_writable() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut connection = Connection::new(Stream::from_fd(ours.into(), true), 0);
    let big = vec![b'x'; 4000];
    let mut requests = 0;
    while !connection.has_output() {
        connection.submit(TxId::NONE, Request::Write { path: "/a", value: &big }).unwrap();
        connection.process().unwrap();
        requests += 1;
        assert!(requests < 100_000, "the socket never fills up");
    }
    assert!(!connection.wants_write());
    drop(theirs);
}
