//! A console between a guest and whoever looks at it.

use testbed::{Machine, StoreKind, console_nodes, until};

use crate::scene::{Scene, Which};

/// `tty` is written last: whoever finds it finds everything.
pub fn a_tty_is_there_when_it_is_published(scene: &mut Scene) {
    scene.start(&[]);
    for domid in 7..17 {
        let guest = scene.machine.guest(domid, "web");
        // Before the daemon has seen it, and while it makes it.
        let path = scene.tty_path(domid);
        assert!(guest.is_bound());
        let number = path.to_str().unwrap().strip_prefix("/dev/pts/").map(str::parse::<u32>);
        assert!(matches!(number, Some(Ok(_))), "{}", path.display());
        let mut tty = scene.tty(domid);
        tty.types("x");
        assert_eq!(guest.read(1), b"x");
        // The guest must not be able to lead clients elsewhere (XSA-57).
        let perms = scene.machine.client().get_perms(&format!("/local/domain/{domid}/console/tty")).unwrap();
        assert!(perms[0].domid == 0 && perms.iter().all(|perm| !perm.access.writes()), "{perms:?}");
    }
}

/// Both type to the guest; what the guest writes comes to the one or the other.
pub fn two_clients(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    let mut ttys = [scene.tty(7), scene.tty(7)];
    for tty in &mut ttys {
        tty.types("typed");
        assert_eq!(guest.read(5), b"typed");
    }
    let text = "0123456789abcdef".repeat(1000);
    guest.write(&text);
    let mut shown = 0;
    until("all output", || {
        shown += ttys.iter_mut().map(|tty| tty.read().unwrap().len()).sum::<usize>();
        (shown == text.len()).then_some(())
    });
}

/// Guests write one after the other without a pause, and somebody types to one of them: all of it comes, and so does what is written
/// after a silence.
pub fn many_write_while_somebody_types(scene: &mut Scene) {
    let guests: Vec<_> = (7..17).map(|domid| scene.machine.guest(domid, &format!("web{domid}"))).collect();
    scene.start(&[]);
    let mut ttys: Vec<_> = guests.iter().map(|guest| scene.tty(guest.domid())).collect();
    for turn in 0..5 {
        let lines: Vec<_> = (0..20).map(|line| format!("{turn} {line}\r\n")).collect();
        for line in &lines {
            guests.iter().for_each(|guest| guest.write(line));
        }
        ttys[0].types("typed");
        assert_eq!(guests[0].read(5), b"typed");
        guests[0].write("typed\r\n");
        ttys[0].shows(lines.concat() + "typed\r\n");
        ttys[1..].iter_mut().for_each(|tty| tty.shows(lines.concat()));
        scene.barrier();
        guests[9].write("alone\r\n");
        ttys[9].shows("alone\r\n");
    }
}

/// Stock does not start without a store. Here it waits for one.
pub fn no_store_at_all(scene: &mut Scene) {
    scene.machine.store_mut().kill();
    scene.start(&[]);
    match scene.which {
        Which::Stock => assert_eq!(scene.ended().code(), Some(1)),
        Which::Ours => {
            scene.machine.store_mut().restart();
            let guest = scene.machine.guest(7, "web");
            let mut tty = scene.tty(7);
            guest.write("hello\r\n");
            tty.shows("hello\r\n");
        }
    }
}

/// Nothing is echoed, nothing is translated, and nothing is a signal or the end of a line.
pub fn the_pty_is_raw(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    let mut tty = scene.tty(7);
    let every: Vec<u8> = (0..=255).collect();
    tty.types(&every);
    assert_eq!(guest.read(256), every);
    guest.write(&every);
    tty.shows(&every);
    assert_eq!(tty.read(), Some(Vec::new()));
}

pub fn output_without_a_log(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
    assert!(scene.logs().is_empty());
}

pub fn more_than_a_ring_of_output(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    let text: String = (0..2000).map(|n| format!("line {n}\r\n")).collect();
    guest.write(&text);
    tty.shows(&text);
    scene.log_holds("guest-web.log", &text);
}

/// What is typed while the guest does not read waits, and comes in order.
pub fn more_than_a_ring_of_input(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    let mut tty = scene.tty(7);
    let text: String = (0..400).map(|n| format!("line {n:4}\r")).collect();
    assert_eq!(text.len(), 4000);
    tty.types(&text);
    until("a full ring", || (guest.index(testbed::Index::InProd) == 1024).then_some(()));
    assert_eq!(String::from_utf8(guest.read(text.len())).unwrap(), text);
}

pub fn the_pty_outlives_its_clients(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    let path = scene.tty_path(7);
    for round in 0..5 {
        let text = format!("round {round}\r\n");
        let mut tty = scene.tty(7);
        guest.write(&text);
        tty.shows(&text);
        tty.types("typed");
        assert_eq!(guest.read(5), b"typed");
        drop(tty);
        scene.barrier();
        assert_eq!(scene.tty_path(7), path);
    }
}

pub fn a_hundred_guests(scene: &mut Scene) {
    let some: Vec<_> = (1..=50).map(|domid| scene.machine.guest(domid, &format!("g{domid}"))).collect();
    scene.start(&["--log=guest"]);
    let others: Vec<_> = (51..=100).map(|domid| scene.machine.guest(domid, &format!("g{domid}"))).collect();
    let guests: Vec<_> = some.iter().chain(&others).collect();
    let mut ttys: Vec<_> = guests.iter().map(|guest| scene.tty(guest.domid())).collect();
    for guest in &guests {
        guest.write(format!("I am {}\r\n", guest.domid()));
    }
    for (guest, tty) in guests.iter().zip(&mut ttys) {
        tty.shows(format!("I am {}\r\n", guest.domid()));
        scene.log_holds(&format!("guest-g{}.log", guest.domid()), &format!("I am {}\r\n", guest.domid()));
        tty.types(format!("you are {:3}", guest.domid()));
    }
    for guest in &guests {
        assert_eq!(guest.read(11), format!("you are {:3}", guest.domid()).as_bytes());
    }
}

pub fn on_oxenstored(scene: &mut Scene) {
    if !StoreKind::OCaml.available() {
        return;
    }
    let mut scene = Scene::over(scene.which, Machine::start(StoreKind::OCaml));
    let early = scene.machine.guest(7, "early");
    scene.start(&["--log=guest"]);
    let late = scene.machine.guest(8, "late");
    for guest in [&early, &late] {
        let mut tty = scene.tty(guest.domid());
        guest.write("hello\r\n");
        tty.shows("hello\r\n");
        scene.log_holds(&format!("guest-{}.log", guest.name()), "hello\r\n");
        scene.machine.destroy(guest);
        tty.read_to_end();
    }
    scene.lives();
}

/// Guests of newer builders wait until the byte says that somebody serves them. The stock daemon up to Xen 4.20 leaves it.
pub fn the_connection_is_told_to_the_guest(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    assert_eq!(guest.connection(), 1);
    scene.start(&[]);
    scene.served(&guest);
    match scene.which {
        Which::Stock => assert_eq!(guest.connection(), 1),
        Which::Ours => until("word that it is served", || (guest.connection() == 0).then_some(())),
    }
}

/// Stock has it on Arm only.
pub fn a_vuart(scene: &mut Scene) {
    let guest = scene.machine.introduce(7, "web");
    // Its page is never granted.
    guest.revoke_grant();
    scene.machine.announce_vuart(&guest);
    scene.machine.announce(&guest, &console_nodes(&guest));
    scene.start(&["--log=guest"]);
    scene.served(&guest);
    scene.barrier();
    let tty = || scene.machine.node("/local/domain/7/vuart/0/tty");
    match scene.which {
        Which::Stock => assert!(tty().is_none() && !guest.vuart().is_bound()),
        Which::Ours => {
            let mut tty = crate::tty::Tty::open(until("a tty of the vuart", tty).as_ref());
            guest.vuart().write("vuart\r\n");
            tty.shows("vuart\r\n");
            tty.types("typed");
            assert_eq!(guest.vuart().read(5), b"typed");
            guest.write("console\r\n");
            scene.log_holds("guest-web.log", "console\r\n");
            scene.log_holds("guest-web-vuart0.log", "vuart\r\n");
        }
    }
}

/// Whatever stands in the store.
pub fn domain_0_has_none(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    let mut client = scene.machine.client();
    for (node, value) in console_nodes(&guest) {
        client.write(&format!("/local/domain/0/console/{node}"), value.as_bytes()).unwrap();
    }
    client.write("/local/domain/0/name", b"Domain-0").unwrap();
    scene.start(&["--log=guest"]);
    scene.served(&guest);
    scene.barrier();
    assert_eq!(scene.machine.console_node(0, "tty").unwrap(), "");
    assert_eq!(scene.logs(), ["guest-web.log"]);
}

/// Consoles go on without a store. Stock never notices that there is one again.
pub fn the_store_dies(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    // Nothing is under way.
    scene.barrier();
    scene.machine.store_mut().kill();
    guest.write("alone\r\n");
    tty.shows("alone\r\n");
    tty.types("typed");
    assert_eq!(guest.read(5), b"typed");
    scene.machine.store_mut().restart();
    scene.lives();
    if scene.which == Which::Ours {
        let other = scene.machine.guest(8, "db");
        let mut other_tty = scene.tty(8);
        other.write("hello\r\n");
        other_tty.shows("hello\r\n");
        // That the new store does not know the old guest says nothing of it.
        scene.barrier();
        guest.write("still alone\r\n");
        tty.shows("still alone\r\n");
        tty.types("typed");
        assert_eq!(guest.read(5), b"typed");
    }
}
