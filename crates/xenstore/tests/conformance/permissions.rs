//! Permissions, as domain 0 sets and sees them. (That they hold against other domains is for the store to show: see
//! tests/guests.rs for the embedded one.)

use testbed::{Store, StoreKind};
use xenstore::{Access, Errno, Perm};

pub fn permissions_come_back(store: &mut Store) {
    let mut client = store.client();
    client.write("/a", b"1").unwrap();
    let perms = [
        Perm::new(Access::None, 0),
        Perm::new(Access::Read, 5),
        Perm::new(Access::Write, 6),
        Perm::new(Access::Both, 7),
    ];
    client.set_perms("/a", &perms).unwrap();
    let found = client.get_perms("/a").unwrap();
    assert_eq!(found[0], perms[0], "the owner's entry is the first");
    assert_eq!(found.len(), perms.len());
    assert!(perms.iter().all(|perm| found.contains(perm)), "{found:?}");
    assert_eq!(client.read("/a").unwrap(), b"1");
}

pub fn children_inherit(store: &mut Store) {
    let mut client = store.client();
    client.mkdir("/a").unwrap();
    let perms = [Perm::new(Access::Read, 0), Perm::new(Access::Both, 5)];
    client.set_perms("/a", &perms).unwrap();
    client.write("/a/b/c", b"1").unwrap();
    assert_eq!(client.get_perms("/a/b/c").unwrap(), perms);
}

pub fn permissions_of_an_absent_node(store: &mut Store) {
    let mut client = store.client();
    assert_eq!(client.get_perms("/a").unwrap_err().errno(), Some(Errno::Enoent));
    let perms = [Perm::new(Access::None, 0)];
    assert_eq!(client.set_perms("/a", &perms).unwrap_err().errno(), Some(Errno::Enoent));
}

/// By which domain 0 lets a domain see @releaseDomain. xenstored up to 4.17 at least cannot be asked for them: EINVAL.
pub fn permissions_of_a_special_node(store: &mut Store) {
    let mut client = store.client();
    let perms = [Perm::new(Access::None, 0), Perm::new(Access::Read, 5)];
    client.set_perms("@releaseDomain", &perms).unwrap();
    match client.get_perms("@releaseDomain") {
        Ok(found) => assert_eq!(found, perms),
        Err(error) => assert_eq!((store.kind(), error.errno()), (StoreKind::C, Some(Errno::Einval))),
    }
}
