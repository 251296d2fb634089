//! Why there is no console, said so that a person knows what to do.

use testbed::StoreKind;
use xenstore::{Access, Perm};

use crate::guest::{Pty, Status, console, console_json, nodes};
use crate::host::{Ended, Host};

fn refused(host: &Host, arguments: &[&str], why: &str) {
    let ended = Ended::of(&mut console(host, arguments));
    assert!(ended.code == 1 && ended.err.contains(why) && ended.out.is_empty(), "{why}: {ended:?}");
}

#[test]
fn a_domain_that_is_not_one() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    refused(&host, &["web"], "web: no such domain");
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    nodes(&host, 12, "web", &guest.path);
    host.client().write("/local/domain/0/name", b"Domain-0").unwrap();
    refused(&host, &["8"], "8: no such domain");
    refused(&host, &["we"], "we: no such domain");
    refused(&host, &["a/b"], "a/b: no such domain");
    refused(&host, &["web"], "web: the name of 2 domains; say which by its number: 7, 12");
    refused(&host, &["0"], "domain 0 has no console");
    refused(&host, &["Domain-0"], "domain 0 has no console");
    refused(&host, &["--store", "/nonexistent", "7"], "/nonexistent");
    refused(&host, &["--xen-lock-dir", "/nonexistent", "7"], "/nonexistent/xenconsole.7");
    for wrong in [&["7", "--type", "tcp"][..], &["7", "--escape", ""], &["7", "--escape", "ab"], &[]] {
        assert_eq!(Ended::of(&mut console(&host, wrong)).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_console_that_is_not_there() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    host.client().write("/local/domain/7/name", b"web").unwrap();
    refused(&host, &["7"], "there is no console of domain 7: /local/domain/7/console/tty is not in the store");
}

#[test]
fn a_console_that_nobody_serves() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    nodes(&host, 7, "web", "");
    refused(&host, &["7"], "got none within 5 s: does a console daemon (xenconsoled) run?");
}

#[test]
fn a_serial_port_that_nobody_serves() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    nodes(&host, 7, "web", "");
    host.client().write("/local/domain/7/serial/0", b"").unwrap();
    refused(&host, &["7", "--type", "serial"], "does its QEMU run?");
}

#[test]
fn a_terminal_that_is_none() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let file = host.store.dir().join("file");
    std::fs::write(&file, "kept").unwrap();
    nodes(&host, 7, "web", file.to_str().unwrap());
    refused(&host, &["7"], "file is no pseudo terminal");
    assert_eq!(std::fs::read(file).unwrap(), b"kept");
}

#[test]
fn a_terminal_that_a_dead_daemon_named() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    nodes(&host, 7, "web", "/dev/pts/4000000");
    refused(
        &host,
        &["7"],
        "had the terminal /dev/pts/4000000, which is gone: does a console daemon (xenconsoled) run?",
    );
}

/// XSA-57: guests could write the node, and have their administrator's keys go wherever they liked.
#[test]
fn a_terminal_that_the_guest_named() {
    let Some(host) = Host::quiet() else { return };
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let node = "/local/domain/7/console/tty";
    for perms in [&[Perm::new(Access::None, 7)][..], &[Perm::new(Access::None, 0), Perm::new(Access::Both, 7)]] {
        host.client().set_perms(node, perms).unwrap();
        refused(&host, &["7"], "the guest itself can write /local/domain/7/console/tty");
    }
    guest.send(b"attached");
    host.client().set_perms(node, &[Perm::new(Access::None, 0), Perm::new(Access::Read, 7)]).unwrap();
    crate::host::Process::spawn(console(&host, &["7"])).until_said("attached");
}

#[test]
fn nothing_to_watch() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    nodes(&host, 7, "web", "");
    let watch = |more: &[&str], why| refused(&host, &[&["7", "--read-only"], more].concat(), why);
    watch(&[], "no daemon says where the console of domain 7 is logged");
    let status = Status::serve(&host, &[console_json(7, "web", None), console_json(8, "db", Some("/x"))]);
    watch(&[], "the console of domain 7 is not logged; xenconsoled --log=guest keeps a log");
    watch(&["--type", "serial"], "the serial port 0 of domain 7 is QEMU's");
    watch(&["--num", "3"], "the console 3 of domain 7 is QEMU's");
    watch(&["--type", "vuart"], "the daemon does not serve the vuart of domain 7");
    // An older daemon.
    status.say_all(&serde_json::json!({ "logs": [] }));
    watch(&[], "the daemon does not serve the console of domain 7");
}
