//! Domains that crash, end and change.

use testbed::{Guest, Shutdown, console_nodes, until};

use crate::scene::{Scene, Which};
use crate::tty::Tty;

fn keeps_its_console(scene: &mut Scene, why: Shutdown) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let path = scene.tty_path(7);
    guest.write("before\r\n");
    guest.drained();
    scene.machine.shut_down(&guest, why);
    scene.barrier();
    guest.write("after\r\n");
    scene.log_holds("guest-web.log", "before\r\nafter\r\n");
    assert_eq!(scene.tty_path(7), path);
    // Who comes now sees all of it.
    scene.tty(7).shows("before\r\nafter\r\n");
    assert!(guest.is_bound());
}

pub fn a_crashed_domain_keeps_its_console(scene: &mut Scene) {
    keeps_its_console(scene, Shutdown::Crash);
}

pub fn a_shut_down_domain_keeps_its_console(scene: &mut Scene) {
    keeps_its_console(scene, Shutdown::Poweroff);
}

pub fn a_destroyed_domain_loses_its_console(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
    scene.machine.destroy(&guest);
    tty.read_to_end();
    assert_eq!(scene.log("guest-web.log"), "hello\r\n");
    // Nothing of it is left.
    let log = scene.log_dir().join("guest-web.log");
    until("a log that is closed", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", scene.pid())).unwrap();
        let mut open = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        (!open.any(|path| path == log)).then_some(())
    });
}

/// While somebody has its memory mapped, a domain is dying, and that may take long.
pub fn a_domain_that_is_dying_loses_its_console(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    let mut tty = scene.tty(7);
    scene.machine.hypervisor().begin_dying(7);
    tty.read_to_end();
    scene.machine.destroy(&guest);
    scene.barrier();
}

/// What a guest wrote last, right before it was gone. Stock does not look into the ring again.
pub fn last_words(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("first words\r\n");
    tty.shows("first words\r\n");
    guest.drained();
    // An event of the first ones that stock has not seen to yet would be a look at the last ones.
    scene.barrier();
    guest.put_silently("last words\r\n");
    scene.machine.destroy(&guest);
    let last = tty.read_to_end();
    scene.barrier();
    match scene.which {
        Which::Stock => {
            assert_eq!(last, b"");
            assert_eq!(scene.log("guest-web.log"), "first words\r\n");
        }
        Which::Ours => {
            assert_eq!(String::from_utf8_lossy(&last), "last words\r\n");
            scene.log_holds("guest-web.log", "first words\r\nlast words\r\n");
        }
    }
}

/// A guest that crashed after it had written its last words and before it had sent an event for them: nobody saw them while it was
/// kept for a look at it, which is what it was kept for. Stock still does not.
pub fn last_words_of_a_crash(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("first words\r\n");
    tty.shows("first words\r\n");
    guest.drained();
    scene.barrier();
    guest.put_silently("last words\r\n");
    scene.machine.shut_down(&guest, Shutdown::Crash);
    match scene.which {
        Which::Stock => {
            scene.barrier();
            assert_eq!((scene.log("guest-web.log").as_str(), guest.waiting()), ("first words\r\n", 12));
        }
        Which::Ours => {
            tty.shows("last words\r\n");
            scene.log_holds("guest-web.log", "first words\r\nlast words\r\n");
        }
    }
}

/// Without a pause between them, too: the daemon may see the one end and the other begin in one look. Stock may then take the new one
/// for the old one, and publish no tty, so it gets its pause.
pub fn a_domain_id_is_used_again(scene: &mut Scene) {
    scene.start(&["--log=guest"]);
    for round in 0..20 {
        let name = format!("g{round}");
        let guest = scene.machine.guest(7, &name);
        if round % 2 == 1 && scene.which == Which::Ours {
            scene.machine.destroy(&guest);
            continue;
        }
        let mut tty = scene.tty(7);
        guest.write("hello\r\n");
        tty.shows("hello\r\n");
        scene.log_holds(&format!("guest-{name}.log"), "hello\r\n");
        scene.machine.destroy(&guest);
        if scene.which == Which::Stock {
            tty.read_to_end();
        }
    }
    let guest = scene.machine.guest(7, "last");
    scene.served(&guest);
    let mut tty = scene.tty(7);
    guest.write("last\r\n");
    tty.shows("last\r\n");
    scene.log_holds("guest-last.log", "last\r\n");
}

/// One ends as the next one begins, hundreds of times, and each has its console. (An event of the store that says that some domain has
/// come or gone does not say which, nor how many.)
pub fn domains_come_and_go(scene: &mut Scene) {
    scene.start(&[]);
    let mut before: Option<Guest> = None;
    for domid in 100..500 {
        let guest = scene.machine.guest(domid, &format!("g{domid}"));
        if let Some(before) = before.replace(guest) {
            scene.machine.destroy(&before);
        }
        scene.tty_path(domid);
    }
}

/// A toolstack removes a console's nodes long before the domain is gone.
pub fn nodes_go_before_the_domain(scene: &mut Scene) {
    let (guest, other) = (scene.machine.guest(7, "web"), scene.machine.guest(8, "db"));
    scene.start(&["--log=guest"]);
    scene.served(&guest);
    let mut tty = scene.tty(8);
    scene.machine.forget(&guest);
    scene.barrier();
    guest.put("late\r\n");
    other.write("hello\r\n");
    tty.shows("hello\r\n");
    scene.machine.hypervisor().destroy(7);
    until("the end of the console", || (!guest.is_bound()).then_some(()));
    scene.barrier();
    // The other one does not suffer.
    other.write("hello\r\n");
    tty.shows("hello\r\n");
}

/// What a guest wrote before there was a daemon waits in its ring.
pub fn a_domain_that_is_there_already(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    guest.put_silently("early\r\n");
    scene.start(&["--log=guest"]);
    scene.tty(7).shows("early\r\n");
    scene.log_holds("guest-web.log", "early\r\n");
}

/// As after a suspend that was called off: the guest has another event channel, and its ring goes on.
pub fn another_port(scene: &mut Scene) {
    let mut guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("one\r\n");
    tty.shows("one\r\n");
    guest.console_mut().change_port(9);
    guest.put_silently("two\r\n");
    scene.machine.client().write("/local/domain/7/console/port", b"9").unwrap();
    until("another port", || guest.is_bound().then_some(()));
    guest.write("three\r\n");
    show_both(scene, &mut tty, &guest);
    scene.log_holds("guest-web.log", "one\r\ntwo\r\nthree\r\n");
}

/// The pty may be another one then, as long as it is published.
fn show_both(scene: &Scene, tty: &mut Tty, guest: &Guest) {
    guest.drained();
    let mut shown = Vec::new();
    until("output", || {
        match tty.read() {
            Some(bytes) => shown.extend(bytes),
            None => *tty = scene.tty(guest.domid()),
        }
        shown.ends_with(b"two\r\nthree\r\n").then_some(())
    });
}

/// The ring is another one, and so is all that is in it. (A page that came by grant is the granted one whatever `ring-ref` says.)
pub fn another_page(scene: &mut Scene) {
    let mut guest = scene.machine.introduce(7, "web");
    guest.revoke_grant();
    scene.machine.announce(&guest, &console_nodes(&guest));
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("one\r\n");
    tty.shows("one\r\n");
    guest.drained();
    guest.move_console();
    guest.put_silently("two\r\n");
    let frame = console_nodes(&guest).into_iter().find(|(node, _)| *node == "ring-ref").unwrap().1;
    scene.machine.client().write("/local/domain/7/console/ring-ref", frame.as_bytes()).unwrap();
    scene.barrier();
    guest.write("three\r\n");
    show_both(scene, &mut tty, &guest);
    scene.log_holds("guest-web.log", "one\r\ntwo\r\nthree\r\n");
}
