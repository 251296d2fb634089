//! Stores that die or fall silent.

use std::time::{Duration, Instant};

use testbed::{PATIENCE, Store};
use xenstore::{Client, Connection, Error, Reply, Request, TxId};

use crate::pipelining::{replies, turn};

pub fn a_dead_store_ends_every_call(store: &mut Store) {
    let mut connection = Connection::open(&store.address()).unwrap();
    connection.submit(TxId::NONE, Request::Directory { path: "/" }).unwrap();
    replies(&mut connection, 1);
    store.pause();
    connection.submit(TxId::NONE, Request::Directory { path: "/" }).unwrap();
    connection.process().unwrap();
    assert!(connection.waiting_since().is_some());
    store.kill();
    let start = Instant::now();
    let error = loop {
        if let Err(error) = turn(&mut connection, start) {
            break error;
        }
    };
    assert!(matches!(error, Error::Disconnected(_)), "{error}");
    assert_eq!(connection.process(), Err(error.clone()), "for good");
    assert_eq!(connection.submit(TxId::NONE, Request::Directory { path: "/" }), Err(error));
}

pub fn a_dead_store_ends_a_waiting_client(store: &mut Store) {
    let mut client = store.client();
    store.pause();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.read("/a"));
        store.kill();
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error}");
    });
}

pub fn a_transaction_is_gone_with_its_connection(store: &mut Store) {
    let mut connection = Connection::open(&store.address()).unwrap();
    connection.submit(TxId::NONE, Request::TransactionStart).unwrap();
    let tx = match replies(&mut connection, 1).into_values().next() {
        Some(Ok(Reply::Transaction(tx))) => tx,
        other => panic!("{other:?}"),
    };
    connection.submit(tx, Request::Write { path: "/a", value: b"1" }).unwrap();
    replies(&mut connection, 1);
    drop(connection);
    let mut client = store.client();
    assert!(client.read("/a").unwrap_err().is_absent());
    client.transaction(|transaction| transaction.write("/a", b"2")).unwrap();
}

pub fn a_silent_store_is_a_timeout_and_its_late_answer_no_harm(store: &mut Store) {
    let mut client = store.client();
    client.write("/a", b"1").unwrap();
    client.write("/b", b"2").unwrap();
    store.pause();
    let waited = Duration::from_millis(50);
    client.set_timeout(waited);
    assert_eq!(client.read("/a"), Err(Error::Timeout { request: "READ", path: "/a".into(), waited }));
    let result = client.transaction(|transaction| transaction.write("/c", b"3"));
    assert!(matches!(result, Err(Error::Timeout { request: "TRANSACTION_START", .. })), "{result:?}");
    store.resume();
    client.set_timeout(PATIENCE);
    assert_eq!(client.read("/b").unwrap(), b"2");
    client.transaction(|transaction| transaction.write("/c", b"3")).unwrap();
    assert_eq!(client.read("/c").unwrap(), b"3");
}

/// The longest timeouts are no overflow.
pub fn a_client_may_wait_forever(store: &mut Store) {
    let mut client = Client::connect(&[store.address()], Duration::MAX).unwrap();
    client.write("/a", b"1").unwrap();
    client.set_timeout(Duration::MAX);
    assert_eq!(client.read("/a").unwrap(), b"1");
}

pub fn no_event_within_the_deadline_is_none(store: &mut Store) {
    let mut client = store.client();
    assert_eq!(client.next_event(Instant::now() + Duration::from_millis(1)), Ok(None));
    client.watch("/a", "t").unwrap();
    assert!(client.next_event(Instant::now() + PATIENCE).unwrap().is_some());
    assert_eq!(client.next_event(Instant::now()), Ok(None), "a deadline that is over asks without waiting");
}
