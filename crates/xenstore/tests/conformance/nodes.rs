//! Values, and making and removing nodes.

use testbed::{Store, StoreKind};
use xenstore::{Errno, Error};

pub fn any_bytes_come_back(store: &mut Store) {
    let mut client = store.client();
    let bytes: Vec<u8> = (0..=255).collect();
    for value in [&bytes[..], b"\0", b"\0\0", b"text", b"text\0", b"\n", b"\xff\xfe"] {
        client.write("/a", value).unwrap();
        assert_eq!(client.read("/a").unwrap(), value);
    }
}

pub fn empty_value_is_a_value(store: &mut Store) {
    let mut client = store.client();
    client.write("/a", b"").unwrap();
    assert_eq!(client.read("/a").unwrap(), b"");
}

pub fn value_is_replaced(store: &mut Store) {
    let mut client = store.client();
    client.write("/a", b"a long one").unwrap();
    client.write("/a/child", b"1").unwrap();
    client.write("/a", b"short").unwrap();
    assert_eq!(client.read("/a").unwrap(), b"short");
    assert_eq!(client.read("/a/child").unwrap(), b"1");
}

pub fn absent_node_is_told(store: &mut Store) {
    let mut client = store.client();
    let error = client.read("/a/b").unwrap_err();
    assert_eq!(error, Error::Store { request: "READ", path: "/a/b".into(), errno: Errno::Enoent });
    assert!(client.directory("/a").unwrap_err().is_absent());
}

pub fn write_makes_the_nodes_above(store: &mut Store) {
    let mut client = store.client();
    client.write("/a/b/c", b"1").unwrap();
    assert_eq!(client.read("/a/b").unwrap(), b"");
    assert_eq!(client.directory("/a").unwrap(), ["b"]);
    assert_eq!(client.directory("/a/b").unwrap(), ["c"]);
}

pub fn mkdir_makes_an_empty_node_and_keeps_one_that_is_there(store: &mut Store) {
    let mut client = store.client();
    client.mkdir("/a/b").unwrap();
    assert_eq!(client.read("/a/b").unwrap(), b"");
    client.write("/a/b", b"1").unwrap();
    client.mkdir("/a/b").unwrap();
    assert_eq!(client.read("/a/b").unwrap(), b"1");
}

pub fn rm_takes_all_below(store: &mut Store) {
    let mut client = store.client();
    for path in ["/a/b/c/d", "/a/b/e", "/a/f"] {
        client.write(path, b"1").unwrap();
    }
    client.rm("/a/b").unwrap();
    for path in ["/a/b", "/a/b/c", "/a/b/c/d", "/a/b/e"] {
        assert!(client.read(path).unwrap_err().is_absent(), "{path}");
    }
    assert_eq!(client.directory("/a").unwrap(), ["f"]);
}

pub fn rm_of_an_absent_node_is_fine_if_its_parent_is_there(store: &mut Store) {
    let mut client = store.client();
    client.mkdir("/a").unwrap();
    client.rm("/a/b").unwrap();
    client.rm("/b").unwrap();
}

/// docs/misc/xenstore.txt: ENOENT. oxenstored does not mind.
pub fn rm_of_an_absent_node_without_parent_harms_nobody(store: &mut Store) {
    let result = store.client().rm("/a/b/c");
    if store.kind() == StoreKind::OCaml && result.is_ok() {
        return;
    }
    assert_eq!(result.unwrap_err().errno(), Some(Errno::Enoent));
}

/// oxenstored does as it is told and empties the store of the whole host; xenstored says EINVAL. So it is not sent.
pub fn rm_of_the_root_is_not_sent(store: &mut Store) {
    let mut client = store.client();
    client.write("/a", b"1").unwrap();
    let error = client.rm("/").unwrap_err();
    assert!(matches!(error, Error::Malformed { what: "path", .. }), "{error}");
    assert_eq!(client.read("/a").unwrap(), b"1");
}

pub fn every_allowed_character_is_allowed(store: &mut Store) {
    let mut client = store.client();
    let path = "/ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/0123456789/-_@";
    client.write(path, b"1").unwrap();
    assert_eq!(client.read(path).unwrap(), b"1");
}

pub fn what_no_store_takes_is_not_sent(store: &mut Store) {
    let mut client = store.client();
    for path in ["", "a", "/a/", "/a//b", "/a.b", "/a b", "/a\0b"] {
        let error = client.read(path).unwrap_err();
        assert!(matches!(error, Error::Malformed { what: "path", .. }), "{path:?}: {error}");
    }
    client.write("/a", b"the connection lives").unwrap();
}

/// oxenstored refuses values above its quota (2048 bytes) also from domain 0, with E2BIG.
pub fn largest_message_and_one_byte_more(store: &mut Store) {
    let mut client = store.client();
    let largest = vec![b'x'; 4096 - "/a\0".len()];
    match client.write("/a", &largest) {
        Ok(()) => assert_eq!(client.read("/a").unwrap(), largest),
        Err(error) => assert_eq!((store.kind(), error.errno()), (StoreKind::OCaml, Some(Errno::E2big))),
    }
    client.write("/b", b"before").unwrap();
    let error = client.write("/b", &[b'x'; 4096 - "/b\0".len() + 1]).unwrap_err();
    assert_eq!(error, Error::TooLarge { request: "WRITE", path: "/b".into(), size: 4097 });
    assert_eq!(client.read("/b").unwrap(), b"before", "the connection lives");
}

/// 1000 bytes pass everywhere. The protocol's most, 3072, is beyond the quotas of xenstored (2048) and oxenstored
/// (1024), which say EINVAL; one more byte is not sent.
pub fn long_paths(store: &mut Store) {
    let mut client = store.client();
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    client.write(&path(1000), b"1").unwrap();
    assert_eq!(client.read(&path(1000)).unwrap(), b"1");
    match client.write(&path(3072), b"1") {
        Ok(()) => assert_eq!(client.read(&path(3072)).unwrap(), b"1"),
        Err(error) => {
            assert_ne!(store.kind(), StoreKind::Embedded);
            assert_eq!(error.errno(), Some(Errno::Einval));
        }
    }
    assert!(matches!(client.write(&path(3073), b"1"), Err(Error::Malformed { .. })));
    assert_eq!(client.read(&path(1000)).unwrap(), b"1", "the connection lives");
}
