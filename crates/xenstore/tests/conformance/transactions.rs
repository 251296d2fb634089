//! All or nothing, and what happens when two want the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use testbed::Store;
use xenstore::{Client, Connection, Errno, Error, Reply, Request, TxId};

use crate::pipelining::replies;
use crate::watcher::Watcher;

pub fn committed_all_at_once(store: &mut Store) {
    let mut client = store.client();
    client.write("/gone", b"1").unwrap();
    let value = client
        .transaction(|transaction| {
            transaction.write("/a", b"1")?;
            transaction.mkdir("/b/c")?;
            transaction.rm("/gone")?;
            assert_eq!(transaction.directory("/b")?, ["c"]);
            transaction.read("/a")
        })
        .unwrap();
    assert_eq!(value, b"1");
    assert_eq!(client.read("/a").unwrap(), b"1");
    assert_eq!(client.read("/b/c").unwrap(), b"");
    assert!(client.read("/gone").unwrap_err().is_absent());
}

pub fn aborted_by_an_error(store: &mut Store) {
    let mut client = store.client();
    let result = client.transaction(|transaction| {
        transaction.write("/a", b"1")?;
        transaction.read("/absent")
    });
    assert!(result.unwrap_err().is_absent());
    assert!(client.read("/a").unwrap_err().is_absent());
}

pub fn aborted_by_a_panic(store: &mut Store) {
    let mut client = store.client();
    let result = catch_unwind(AssertUnwindSafe(|| {
        client.transaction(|transaction| -> Result<(), Error> {
            transaction.write("/a", b"1")?;
            panic!("in the middle of a transaction");
        })
    }));
    assert!(result.is_err());
    assert!(client.read("/a").unwrap_err().is_absent());
    client.transaction(|transaction| transaction.write("/b", b"1")).unwrap();
}

pub fn nobody_outside_sees_inside_nor_the_reverse(store: &mut Store) {
    let mut client = store.client();
    let mut other = store.client();
    client.write("/a", b"before").unwrap();
    client.write("/z", b"before").unwrap();
    client
        .transaction(|transaction| {
            transaction.write("/a", b"inside")?;
            assert_eq!(other.read("/a")?, b"before");
            other.write("/z", b"outside")?;
            assert_eq!(transaction.read("/a")?, b"inside");
            Ok(())
        })
        .unwrap();
    assert_eq!(other.read("/a").unwrap(), b"inside");
    assert_eq!(other.read("/z").unwrap(), b"outside");
}

/// Reads a counter and writes it back, while `other` changes it in the first `meddle` attempts. Gives the attempts.
fn count_up(client: &mut Client, other: &mut Client, meddle: u32) -> (u32, Result<(), Error>) {
    let mut attempts = 0;
    let result = client.transaction(|transaction| {
        attempts += 1;
        let count: u32 = String::from_utf8(transaction.read("/count")?).unwrap().parse().unwrap();
        if attempts <= meddle {
            other.write("/count", (count + 100).to_string().as_bytes())?;
        }
        transaction.write("/count", (count + 1).to_string().as_bytes())
    });
    (attempts, result)
}

pub fn conflict_is_tried_again(store: &mut Store) {
    let (mut client, mut other) = (store.client(), store.client());
    client.write("/count", b"0").unwrap();
    let (attempts, result) = count_up(&mut client, &mut other, 2);
    assert_eq!((attempts, result), (3, Ok(())));
    assert_eq!(client.read("/count").unwrap(), b"201", "no change of the other is lost");
}

pub fn conflict_without_end_is_given_up(store: &mut Store) {
    let (mut client, mut other) = (store.client(), store.client());
    client.write("/count", b"0").unwrap();
    let (attempts, result) = count_up(&mut client, &mut other, u32::MAX);
    assert_eq!(result, Err(Error::Conflict { attempts }));
    assert!(attempts < 100);
}

pub fn changes_elsewhere_are_no_conflict(store: &mut Store) {
    let (mut client, mut other) = (store.client(), store.client());
    client.write("/a/mine", b"0").unwrap();
    client.write("/b/theirs", b"0").unwrap();
    let mut attempts = 0;
    client
        .transaction(|transaction| {
            attempts += 1;
            transaction.read("/a/mine")?;
            other.write("/b/theirs", b"1")?;
            other.write("/b/new", b"1")?;
            transaction.write("/a/mine", b"1")
        })
        .unwrap();
    assert_eq!(attempts, 1);
}

pub fn events_come_at_commit(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let (mut client, mut other) = (store.client(), store.client());
    watcher.watch("/a", "t");
    client
        .transaction(|transaction| {
            transaction.write("/a/pipe", b"1")?;
            transaction.write("/a/file", b"2")?;
            assert!(watcher.events(&mut other).is_empty(), "before the commit");
            Ok(())
        })
        .unwrap();
    let mut events = watcher.events(&mut client);
    events.sort();
    assert_eq!(events, ["/a/file t", "/a/pipe t"]);
}

pub fn an_aborted_transaction_has_no_events(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut client = store.client();
    watcher.watch("/a", "t");
    let result = client.transaction(|transaction| {
        transaction.write("/a", b"1")?;
        transaction.read("/absent")
    });
    assert!(result.is_err());
    assert!(watcher.events(&mut client).is_empty());
}

/// A log is asked for anew: nobody may see a mixture of the old request and the new one.
pub fn removed_and_written_again_in_one(store: &mut Store) {
    let mut client = store.client();
    client.write("/a/state", b"ready").unwrap();
    client.write("/a/file", b"old").unwrap();
    client
        .transaction(|transaction| {
            transaction.rm("/a")?;
            transaction.write("/a/file", b"new")
        })
        .unwrap();
    assert_eq!(client.directory("/a").unwrap(), ["file"]);
    assert_eq!(client.read("/a/file").unwrap(), b"new");
}

pub fn five_hundred_nodes_in_one(store: &mut Store) {
    let mut client = store.client();
    client
        .transaction(|transaction| {
            for number in 0..500 {
                transaction.write(&format!("/a/{number}"), number.to_string().as_bytes())?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(client.directory("/a").unwrap().len(), 500);
}

/// ENOENT; oxenstored says EIO.
pub fn unknown_transaction_is_refused(store: &mut Store) {
    let mut connection = Connection::open(&store.address()).unwrap();
    let id = connection.submit(TxId(4711), Request::Write { path: "/a", value: b"1" }).unwrap();
    let replies = replies(&mut connection, 1);
    let errno = replies[&id].as_ref().unwrap_err().errno().unwrap();
    assert!(matches!(errno, Errno::Enoent | Errno::Eio), "{errno}");
    let id = connection.submit(TxId::NONE, Request::Directory { path: "/" }).unwrap();
    match &crate::pipelining::replies(&mut connection, 1)[&id] {
        Ok(Reply::Names(names)) => assert!(!names.contains(&"a".to_owned())),
        other => panic!("{other:?}"),
    }
}
