//! When watches fire, and for whom.

use testbed::Store;
use xenstore::{Access, Errno, Perm};

use crate::watcher::{Watcher, event};

pub fn watch_fires_once_at_first(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    writer.write("/there/below", b"1").unwrap();
    for path in ["/there", "/absent", "/absent/below", "@releaseDomain", "@introduceDomain", "/"] {
        watcher.client.watch(path, "t").unwrap();
        assert_eq!(watcher.next(), event(path, "t"));
        watcher.client.unwatch(path, "t").unwrap();
    }
    assert!(watcher.events(&mut writer).is_empty(), "once");
}

pub fn watch_reports_the_node_and_below_and_nothing_else(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    watcher.watch("/a/b", "t");
    for path in ["/a", "/a/bc", "/a/c", "/b", "/a/b", "/a/b/c/d", "/a/b/e"] {
        writer.write(path, b"1").unwrap();
    }
    assert_eq!(watcher.events(&mut writer), ["/a/b t", "/a/b/c/d t", "/a/b/e t"]);
}

pub fn watch_reports_every_kind_of_change(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    watcher.watch("/a", "t");
    writer.mkdir("/a").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a t"], "mkdir");
    writer.mkdir("/a").unwrap();
    assert!(watcher.events(&mut writer).is_empty(), "mkdir of what is there is no change");
    writer.write("/a", b"1").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a t"], "write");
    writer.write("/a", b"1").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a t"], "writing the same value");
    writer.set_perms("/a", &[Perm::new(Access::Read, 0)]).unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a t"], "permissions");
    writer.read("/a").unwrap();
    writer.directory("/a").unwrap();
    assert!(watcher.events(&mut writer).is_empty(), "reading is no change");
    writer.rm("/a").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a t"], "rm");
    writer.rm("/a").unwrap();
    assert!(watcher.events(&mut writer).is_empty(), "rm of what is not there is no change");
}

pub fn watch_on_the_root_reports_all(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    watcher.watch("/", "root");
    writer.write("/a/b", b"1").unwrap();
    let events = watcher.events(&mut writer);
    // The marker's own change is seen by this watch too, before or after the marker's.
    assert!(events.contains(&"/a/b root".to_owned()), "{events:?}");
}

pub fn watch_is_told_apart_by_token(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    watcher.watch("/a", "one");
    watcher.watch("/a", "two");
    watcher.watch("/a/b", "one");
    writer.write("/a/b", b"1").unwrap();
    let mut events = watcher.events(&mut writer);
    events.sort();
    // Stores send the event of /a and that of /a/b, path and token being the same, once or twice.
    events.dedup();
    assert_eq!(events, ["/a/b one", "/a/b two"]);
}

pub fn watch_twice_is_refused(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    watcher.watch("/a", "t");
    assert_eq!(watcher.client.watch("/a", "t").unwrap_err().errno(), Some(Errno::Eexist));
    let mut other = Watcher::new(store);
    other.watch("/a", "t");
}

pub fn watch_of_others_and_of_oneself(store: &mut Store) {
    let mut watchers = [Watcher::new(store), Watcher::new(store)];
    for watcher in &mut watchers {
        watcher.watch("/a", "t");
    }
    watchers[0].client.write("/a", b"1").unwrap();
    for watcher in &mut watchers {
        assert_eq!(watcher.next(), event("/a", "t"));
    }
}

pub fn watch_outlives_its_node(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    writer.write("/a/b", b"1").unwrap();
    watcher.watch("/a/b", "t");
    writer.rm("/a").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a/b t"]);
    writer.write("/a/b/c", b"2").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a/b/c t"]);
}

pub fn unwatch_ends_the_events(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    watcher.watch("/a", "one");
    watcher.watch("/a", "two");
    watcher.client.unwatch("/a", "one").unwrap();
    writer.write("/a", b"1").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/a two"]);
    watcher.watch("/a", "one");
    writer.write("/a", b"2").unwrap();
    let mut events = watcher.events(&mut writer);
    events.sort();
    assert_eq!(events, ["/a one", "/a two"], "and it can be set again");
}

pub fn unwatch_of_nothing_is_told(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    assert_eq!(watcher.client.unwatch("/a", "t").unwrap_err().errno(), Some(Errno::Enoent));
    watcher.watch("/a", "t");
    assert_eq!(watcher.client.unwatch("/a", "u").unwrap_err().errno(), Some(Errno::Enoent));
}

pub fn tokens_hold_any_text(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    let long = "x".repeat(1000);
    let tokens = ["", " ", "/a/b", "5:qemu-dm", "ä€😀", "a.b\n", long.as_str()];
    for (number, token) in tokens.iter().enumerate() {
        let path = format!("/tokens/{number}");
        watcher.watch(&path, token);
        writer.write(&path, b"1").unwrap();
        assert_eq!(watcher.events(&mut writer), [format!("{path} {token}")]);
    }
}
