//! Domains that come and go.

use testbed::Store;

use crate::watcher::{Watcher, event};

pub fn home_of_a_domain(store: &mut Store) {
    let mut client = store.client();
    for domid in [0, 5, 32751] {
        assert_eq!(client.get_domain_path(domid).unwrap(), format!("/local/domain/{domid}"));
    }
}

pub fn introduced_and_released(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut client = store.client();
    watcher.watch("@introduceDomain", "in");
    watcher.watch("@releaseDomain", "out");
    assert!(!client.is_domain_introduced(5).unwrap());
    client.introduce(5, 1005, 1).unwrap();
    assert_eq!(watcher.next(), event("@introduceDomain", "in"));
    assert!(client.is_domain_introduced(5).unwrap());
    client.release(5).unwrap();
    assert_eq!(watcher.next(), event("@releaseDomain", "out"));
    assert!(!client.is_domain_introduced(5).unwrap());
    client.introduce(5, 1005, 1).unwrap();
    assert_eq!(watcher.next(), event("@introduceDomain", "in"), "the number is used again");
}
