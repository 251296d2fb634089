//! What watches hear when a node goes with everything below it, as /libxl/5 does when a domain ends.

use testbed::{Store, StoreKind};
use xenstore::Client;

use crate::watcher::Watcher;

fn make_domain(writer: &mut Client) {
    for path in ["/libxl/5/logging/qemu-dm/pipe", "/libxl/5/logging/qemu-dm/file", "/libxl/5/device/vif/0"] {
        writer.write(path, b"1").unwrap();
    }
}

/// Not one for each node below.
pub fn removal_is_one_event_for_a_watch_above(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    make_domain(&mut writer);
    watcher.watch("/libxl", "t");
    writer.rm("/libxl/5").unwrap();
    assert_eq!(watcher.events(&mut writer), ["/libxl/5 t"]);
}

pub fn removal_is_reported_to_watches_on_what_went(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    make_domain(&mut writer);
    for path in ["/libxl/5", "/libxl/5/logging", "/libxl/5/logging/qemu-dm/pipe", "/libxl/6"] {
        watcher.watch(path, "t");
    }
    writer.rm("/libxl/5").unwrap();
    let mut events = watcher.events(&mut writer);
    events.sort();
    assert_eq!(events, ["/libxl/5 t", "/libxl/5/logging t", "/libxl/5/logging/qemu-dm/pipe t"]);
}

/// A watch below the removed node on a node that was never there: xenstored says nothing, oxenstored tells it all the
/// same, which the protocol allows: events may be spurious.
pub fn removal_and_watches_below_what_was_there(store: &mut Store) {
    let mut watcher = Watcher::new(store);
    let mut writer = store.client();
    make_domain(&mut writer);
    watcher.watch("/libxl/5/logging/never", "t");
    writer.rm("/libxl/5").unwrap();
    let events = watcher.events(&mut writer);
    let is_spurious = store.kind() == StoreKind::OCaml && events == ["/libxl/5/logging/never t"];
    assert!(events.is_empty() || is_spurious, "{events:?}");
}
