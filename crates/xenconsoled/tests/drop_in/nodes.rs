//! What stands in the store about a console, and when.

use testbed::{Guest, Node, console_nodes, until};

use crate::scene::Scene;

/// The nodes of a console, with something else in one of them.
fn with(guest: &Guest, changed: &str, other: &str) -> Vec<Node> {
    let change = |(node, value)| (node, if node == changed { other.to_owned() } else { value });
    console_nodes(guest).into_iter().map(change).collect()
}

/// Each node alone, in each order that begins with another one.
pub fn nodes_in_any_order(scene: &mut Scene) {
    scene.start(&["--log=guest"]);
    for turn in 0..6_u16 {
        let guest = scene.machine.introduce(7 + turn, &format!("g{turn}"));
        let mut nodes = console_nodes(&guest);
        nodes.rotate_left(turn.into());
        let mut client = scene.machine.client();
        for (node, value) in nodes {
            // The tty may have been written already.
            if node != "tty" {
                client.write(&format!("/local/domain/{}/console/{node}", guest.domid()), value.as_bytes()).unwrap();
                scene.barrier();
            }
        }
        let mut tty = scene.tty(guest.domid());
        guest.write("hello\r\n");
        tty.shows("hello\r\n");
        scene.log_holds(&format!("guest-g{turn}.log"), "hello\r\n");
    }
}

/// As a toolstack would do it that writes nodes before it tells the store of the domain.
pub fn a_console_before_its_domain(scene: &mut Scene) {
    scene.start(&[]);
    let guest = Guest::create(scene.machine.hypervisor(), 7, "web");
    scene.machine.announce(&guest, &console_nodes(&guest));
    scene.barrier();
    scene.machine.client().introduce(7, guest.store_frame(), 1).unwrap();
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
}

pub fn no_type_is_fine(scene: &mut Scene) {
    let guest = scene.machine.introduce(7, "web");
    let nodes: Vec<_> = console_nodes(&guest).into_iter().filter(|(node, _)| *node != "type").collect();
    scene.machine.announce(&guest, &nodes);
    scene.start(&[]);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
}

/// Consoles of the device model are none of the daemon's business.
pub fn ioemu_is_passed_by(scene: &mut Scene) {
    let mut guests = Vec::new();
    for (domid, kind) in [(7, "ioemu"), (8, ""), (9, "xenconsoled2"), (10, "other")] {
        let guest = scene.machine.introduce(domid, kind);
        scene.machine.announce(&guest, &with(&guest, "type", kind));
        guests.push(guest);
    }
    scene.start(&["--log=guest"]);
    scene.barrier();
    for guest in &guests {
        assert!(!guest.is_bound(), "{:?}", guest.name());
        assert_eq!(scene.machine.console_node(guest.domid(), "tty").unwrap(), "");
    }
    assert!(scene.logs().is_empty());
}

/// Whatever becomes of the console meanwhile, it is served when its type is right.
pub fn a_type_that_changes(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    scene.served(&guest);
    let mut client = scene.machine.client();
    for kind in ["ioemu", "xenconsoled", "ioemu", "xenconsoled"] {
        client.write("/local/domain/7/console/type", kind.as_bytes()).unwrap();
        scene.barrier();
    }
    scene.served(&guest);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
}

/// `port` may be written as C writes numbers; `ring-ref` is decimal.
pub fn numbers_as_stock_reads_them(scene: &mut Scene) {
    let mut guests = Vec::new();
    for (domid, port) in [(7, "0x2"), (8, "02"), (9, " 2"), (10, "2 x")] {
        let guest = scene.machine.introduce(domid, "web");
        // So that the page has to come by its frame.
        guest.revoke_grant();
        scene.machine.announce(&guest, &with(&guest, "port", port));
        guests.push(guest);
    }
    scene.start(&[]);
    for guest in &guests {
        scene.served(guest);
    }
}

/// One node of its console's is the guest's own, and each time that it writes it the daemon looks at the console.
pub fn a_guest_that_writes_its_node_all_the_time(scene: &mut Scene) {
    let (storm, web) = (scene.machine.guest(7, "storm"), scene.machine.guest(8, "web"));
    scene.start(&["--log=guest"]);
    let (mut tty, mut other) = (scene.tty(7), scene.tty(8));
    let mut client = scene.machine.client();
    for round in 0..2000 {
        client.write("/local/domain/7/console/backend-id", b"0").unwrap();
        if round % 500 == 0 {
            web.write("web\r\n");
            other.shows("web\r\n");
        }
    }
    scene.barrier();
    storm.write("storm\r\n");
    tty.shows("storm\r\n");
    let files = |scene: &mut Scene| std::fs::read_dir(format!("/proc/{}/fd", scene.pid())).unwrap().count();
    let before = files(scene);
    for _ in 0..100 {
        client.write("/local/domain/7/console/backend-id", b"0").unwrap();
    }
    scene.barrier();
    until("no more descriptors than before", || (files(scene) <= before).then_some(()));
}
