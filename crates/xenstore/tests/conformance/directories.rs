//! Lists of children, also those that do not fit into one message.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use testbed::Store;
use xenstore::{Client, Errno};

pub fn children_are_listed(store: &mut Store) {
    let mut client = store.client();
    for name in ["one", "two", "three"] {
        client.write(&format!("/a/{name}/below"), b"").unwrap();
    }
    let names: BTreeSet<String> = client.directory("/a").unwrap().into_iter().collect();
    assert_eq!(names, ["one", "three", "two"].map(String::from).into());
}

pub fn a_node_without_children_lists_none(store: &mut Store) {
    let mut client = store.client();
    client.write("/a", b"1").unwrap();
    assert!(client.directory("/a").unwrap().is_empty());
    client.write("/a/b", b"1").unwrap();
    client.rm("/a/b").unwrap();
    assert!(client.directory("/a").unwrap().is_empty());
}

/// Of 28 bytes each: 14 messages' worth.
fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("a-child-with-a-long-name-{number:04}")).collect()
}

fn make(client: &mut Client, names: &BTreeSet<String>) {
    client
        .transaction(|transaction| {
            for name in names {
                transaction.write(&format!("/libxl/{name}"), b"")?;
            }
            Ok(())
        })
        .unwrap();
}

pub fn a_list_of_two_thousand(store: &mut Store) {
    let mut client = store.client();
    let names = names(2000);
    // oxenstored allows 1024 requests in one transaction.
    for name in &names {
        client.write(&format!("/libxl/{name}"), b"").unwrap();
    }
    let listed = client.directory("/libxl").unwrap();
    assert_eq!(listed.len(), 2000, "each once");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
}

pub fn a_long_list_within_a_transaction(store: &mut Store) {
    let mut client = store.client();
    let names = names(500);
    make(&mut client, &names);
    let mut other = store.client();
    let mut listed = Vec::new();
    let result = client.transaction(|transaction| {
        listed = transaction.directory("/libxl")?;
        other.write("/libxl/later", b"")?;
        assert_eq!(transaction.directory("/libxl")?, listed, "a transaction sees the store as it was");
        Err::<(), _>(xenstore::Error::Conflict { attempts: 0 })
    });
    assert!(result.is_err());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
}

/// Whatever comes and goes meanwhile, what is there all the time is in every list, once.
pub fn a_long_list_that_changes_while_it_is_read(store: &mut Store) {
    let mut client = store.client();
    let names = names(500);
    make(&mut client, &names);
    let mut other = store.client();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200 {
                other.write(&format!("/libxl/{number}"), b"").unwrap();
                other.rm(&format!("/libxl/{number}")).unwrap();
            }
            is_done.store(true, Ordering::Release);
        });
        let mut lists = 0;
        while !is_done.load(Ordering::Acquire) || lists == 0 {
            match client.directory("/libxl") {
                Ok(listed) => {
                    lists += 1;
                    let set: BTreeSet<String> = listed.iter().cloned().collect();
                    assert_eq!(set.len(), listed.len(), "each once");
                    assert!(set.is_superset(&names));
                }
                Err(error) => assert_eq!(error.errno(), Some(Errno::Eagain)),
            }
        }
    });
}
