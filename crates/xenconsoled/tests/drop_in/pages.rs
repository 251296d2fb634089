//! Pages and ports that cannot be had.

use std::fs;

use testbed::{Guest, console_nodes, until};

use crate::scene::{Scene, Which};

fn works(scene: &Scene, guest: &Guest) {
    let mut tty = scene.tty(guest.domid());
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
    tty.types("typed");
    assert_eq!(guest.read(5), b"typed");
}

/// A host without /dev/xen/gntdev.
pub fn without_grants(scene: &mut Scene) {
    fs::write(scene.machine.hypervisor().dir().join("no-grants"), "").unwrap();
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    works(scene, &guest);
}

/// The page comes by its frame then; where grants work, `ring-ref` does not matter.
pub fn a_grant_that_fails(scene: &mut Scene) {
    let (frame, grant) = (scene.machine.introduce(7, "frame"), scene.machine.introduce(8, "grant"));
    frame.revoke_grant();
    grant.hide_frame();
    for guest in [&frame, &grant] {
        scene.machine.announce(guest, &console_nodes(guest));
    }
    scene.start(&[]);
    works(scene, &frame);
    works(scene, &grant);
}

/// That console is not served; all others are.
pub fn no_page_at_all(scene: &mut Scene) {
    let guest = scene.machine.introduce(7, "none");
    guest.revoke_grant();
    guest.hide_frame();
    scene.machine.announce(&guest, &console_nodes(&guest));
    scene.start(&[]);
    let other = scene.machine.guest(8, "web");
    works(scene, &other);
    scene.barrier();
    assert_eq!(scene.machine.console_node(7, "tty").unwrap(), "");
    assert!(!guest.is_bound());
}

/// Stock may end by it, with all consoles, so nothing is asked of it.
pub fn another_page_that_cannot_be_had(scene: &mut Scene) {
    if scene.which == Which::Stock {
        return;
    }
    let (guest, other) = (scene.machine.guest(7, "web"), scene.machine.guest(8, "db"));
    scene.start(&[]);
    works(scene, &guest);
    guest.revoke_grant();
    scene.machine.client().write("/local/domain/7/console/ring-ref", b"77777").unwrap();
    scene.barrier();
    guest.kick();
    works(scene, &other);
    // It is put right.
    let frame = guest.frame().to_string();
    scene.machine.client().write("/local/domain/7/console/ring-ref", frame.as_bytes()).unwrap();
    works(scene, &guest);
}

/// It is tried again when something changes.
pub fn a_port_that_cannot_be_bound(scene: &mut Scene) {
    let guest = scene.machine.introduce(7, "web");
    scene.machine.hypervisor().refuse_bindings(7, true);
    scene.machine.announce(&guest, &console_nodes(&guest));
    scene.start(&[]);
    scene.barrier();
    assert!(!guest.is_bound());
    assert_eq!(scene.machine.console_node(7, "tty").unwrap(), "");
    scene.machine.hypervisor().refuse_bindings(7, false);
    scene.machine.client().write("/local/domain/7/console/port", guest.port().to_string().as_bytes()).unwrap();
    until("a bound port", || guest.is_bound().then_some(()));
    works(scene, &guest);
}
