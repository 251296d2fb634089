//! Very much at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use testbed::{PATIENCE, Store};
use xenstore::{Connection, Error, Event, Incoming, Reply, Request, RequestId, TxId};

/// Waits until the connection's descriptor is ready, as an event loop would, and lets it work.
pub fn turn(connection: &mut Connection, start: Instant) -> Result<(), Error> {
    assert!(start.elapsed() < PATIENCE, "what has to come did not come");
    let out = if connection.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(&*connection, PollFlags::IN | out)], Some(&second)).unwrap();
    connection.process()
}

/// Lets the connection work until `count` requests are answered.
pub fn replies(connection: &mut Connection, count: usize) -> BTreeMap<RequestId, Result<Reply, Error>> {
    let mut replies = BTreeMap::new();
    let start = Instant::now();
    connection.process().unwrap();
    while replies.len() < count {
        match connection.next() {
            Some(Incoming::Reply { id, result }) => assert!(replies.insert(id, result).is_none(), "answered twice"),
            Some(Incoming::Event(_)) => {}
            None => turn(connection, start).unwrap(),
        }
    }
    replies
}

pub fn ten_thousand_requests_at_once(store: &mut Store) {
    let mut connection = Connection::open(&store.address()).unwrap();
    let mut reads = Vec::new();
    for number in 0..5_000 {
        let path = format!("/a/{}", number % 100);
        connection.submit(TxId::NONE, Request::Write { path: &path, value: number.to_string().as_bytes() }).unwrap();
        reads.push(connection.submit(TxId::NONE, Request::Read { path: &path }).unwrap());
    }
    let replies = replies(&mut connection, 10_000);
    for (number, id) in reads.iter().enumerate() {
        assert_eq!(replies[id], Ok(Reply::Value(number.to_string().into_bytes())));
    }
    assert_eq!(connection.waiting_since(), None);
    assert_eq!(connection.ignored(), 0);
}

/// The nodes are there before: in xenstored, two transactions that make children of one node are in conflict.
pub fn one_connection_many_transactions(store: &mut Store) {
    let mut client = store.client();
    for number in 0..5 {
        client.write(&format!("/a/{number}"), b"before").unwrap();
    }
    let mut connection = Connection::open(&store.address()).unwrap();
    for _ in 0..5 {
        connection.submit(TxId::NONE, Request::TransactionStart).unwrap();
    }
    let ids: Vec<TxId> = replies(&mut connection, 5)
        .into_values()
        .map(|reply| match reply {
            Ok(Reply::Transaction(tx)) => tx,
            other => panic!("{other:?}"),
        })
        .collect();
    for (number, tx) in ids.iter().enumerate() {
        connection.submit(*tx, Request::Write { path: &format!("/a/{number}"), value: b"after" }).unwrap();
    }
    for (number, tx) in ids.iter().enumerate() {
        connection.submit(*tx, Request::TransactionEnd { commit: number % 2 == 0 }).unwrap();
    }
    assert!(replies(&mut connection, 10).into_values().all(|reply| reply == Ok(Reply::Done)));
    for number in 0..5 {
        let expected: &[u8] = if number % 2 == 0 { b"after" } else { b"before" };
        assert_eq!(client.read(&format!("/a/{number}")).unwrap(), expected);
    }
}

/// Another connection makes 5000 changes in 5000 places while this one asks without pause.
pub fn a_storm_of_events_loses_none_and_blocks_no_reply(store: &mut Store) {
    const CHANGES: usize = 5_000;
    let mut connection = Connection::open(&store.address()).unwrap();
    connection.submit(TxId::NONE, Request::Write { path: "/constant", value: b"42" }).unwrap();
    connection.submit(TxId::NONE, Request::Watch { path: "/storm", token: "t" }).unwrap();
    replies(&mut connection, 2);
    let mut writer = store.client();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..CHANGES {
                writer.write(&format!("/storm/{}/{number}", number % 50), b"1").unwrap();
            }
        });
        let mut seen = BTreeSet::new();
        let (mut asked, mut answered) = (0, 0);
        let start = Instant::now();
        while seen.len() < CHANGES || answered < asked {
            if asked - answered < 10 && asked < 3_000 {
                connection.submit(TxId::NONE, Request::Read { path: "/constant" }).unwrap();
                asked += 1;
            }
            turn(&mut connection, start).unwrap();
            while let Some(incoming) = connection.next() {
                match incoming {
                    Incoming::Reply { result, .. } => {
                        assert_eq!(result, Ok(Reply::Value(b"42".to_vec())));
                        answered += 1;
                    }
                    Incoming::Event(Event { path, token }) => {
                        assert_eq!(token, "t");
                        // Not the watch's first event, nor those that a store may send for nodes in between.
                        if path.split('/').count() == 4 {
                            seen.insert(path);
                        }
                    }
                }
            }
        }
        assert!(answered > 0);
    });
}

/// The store keeps events for a client that is busy elsewhere. Not without end: oxenstored stops listening to whoever
/// causes more, a little above 1024 (quota-maxwatchevents), until the watching client has taken some.
pub fn events_wait_while_nobody_takes_them(store: &mut Store) {
    let mut watcher = crate::watcher::Watcher::new(store);
    let mut writer = store.client();
    watcher.watch("/a", "t");
    for number in 0..1_000 {
        writer.write(&format!("/a/{number}"), b"1").unwrap();
    }
    let events: BTreeSet<String> = watcher.events(&mut writer).into_iter().collect();
    let expected: BTreeSet<String> = (0..1_000).map(|number| format!("/a/{number} t")).collect();
    assert_eq!(events, expected);
}
