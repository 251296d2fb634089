//! One writer a domain, ours or the stock client.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use testbed::{StoreKind, until};

use crate::guest::{Pty, console, nodes};
use crate::host::{Host, Process, leashed};

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let mut first = Process::spawn(console(&host, &["7"]));
    guest.send(b"attached");
    first.until_said("attached");
    let refused = crate::host::Ended::of(&mut console(&host, &["web"]));
    assert_eq!(refused.code, 1);
    let who = format!("domain 7's console is in use by xenlog (process {})", first.pid());
    assert!(refused.err.contains(&who), "{refused:?}");
    // Killed, it leaves the name of its lock, and no lock.
    first.signal(Signal::KILL);
    first.ended();
    assert!(host.store.dir().join("xenconsole.7").exists());
    let mut second = Process::spawn(console(&host, &["7"]));
    guest.send(b"again");
    second.until_said("again");
}

/// The stock client, where it is installed. Its lock directory is compiled in.
fn stock() -> Option<PathBuf> {
    let found = Path::new("/usr/lib").read_dir().unwrap().flatten().map(|dir| dir.path().join("bin/xenconsole"));
    let found = found.filter(|program| program.is_file()).max();
    if found.is_none() {
        assert!(std::env::var_os("XENLOG_TEST_ALL").is_none_or(|all| all != "1"), "no xenconsole");
        println!("passed by: no xenconsole in /usr/lib/xen-*/bin (Debian: apt install xen-utils-4.17)");
    }
    found.filter(|_| Path::new("/var/lock").is_dir())
}

#[test]
fn the_stock_client_and_we_keep_each_other_out() {
    let Some(stock) = stock() else { return };
    let Some(host) = Host::quiet() else { return };
    // No guest of this machine, if there are any, has got that far.
    let domid = 20_000 + u16::try_from(std::process::id() % 12_000).unwrap();
    let guest = Pty::raw();
    nodes(&host, domid, "web", &guest.path);
    let domid = domid.to_string();
    let theirs = || {
        let mut command = leashed(&stock);
        host.env(&mut command).args(["--type", "pv", &domid]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let ours = || {
        let mut command = console(&host, &[&domid]);
        command.env("XEN_LOCK_DIR", "/var/lock");
        command
    };
    let refused = |mut command: Command| {
        let refused = crate::host::Ended::of(&mut command);
        assert_ne!(refused.code, 0, "{refused:?}");
        refused.err
    };

    let mut first = Process::spawn(theirs());
    guest.send(b"theirs");
    first.until_said("theirs");
    let why = refused(ours());
    assert!(why.contains(&format!("in use by xenconsole (process {})", first.pid())), "{why}");
    first.signal(Signal::KILL);
    first.ended();

    let mut second = Process::spawn(ours());
    guest.send(b"ours");
    second.until_said("ours");
    let why = refused(theirs());
    assert!(why.contains("Could not lock"), "{why}");
    second.signal(Signal::TERM);
    second.ended();

    let mut third = Process::spawn(theirs());
    guest.send(b"theirs");
    third.until_said("theirs");
    // It ends with its node, as we do.
    host.client().rm(&format!("/local/domain/{domid}")).unwrap();
    assert_eq!(third.ended().code, 0);
    until("no lock left", || (!Path::new("/var/lock").join(format!("xenconsole.{domid}")).exists()).then_some(()));
}
