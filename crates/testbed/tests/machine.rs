//! Xen's own programs on a machine without Xen.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use testbed::{Index, Machine, PATIENCE, Shutdown, StoreKind, programs, until};

/// A child that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon of Xen's on this machine, with its logs in the machine's own directory.
fn daemon(machine: &Machine, options: &[&str]) -> Killed {
    let mut command = machine.program("xenconsoled");
    command.arg("-i").arg("--log-dir").arg(machine.hypervisor().dir()).args(options);
    Killed(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn tty(machine: &Machine, domid: u16) -> File {
    let path = until("a tty", || machine.console_node(domid, "tty").filter(|path| !path.is_empty()));
    File::options()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
        .open(path)
        .unwrap()
}

fn on(kind: StoreKind, test: fn(&Machine)) {
    if kind.available() && programs::installed(&["xenconsoled"]) {
        test(&Machine::start(kind));
    }
}

/// Output, input, events both ways, and the end of the domain.
fn a_guest_is_served(machine: &Machine) {
    let _daemon = daemon(machine, &["--log=all"]);
    let guest = machine.guest(7, "web");
    let mut tty = tty(machine, 7);
    guest.write("hello\r\n");
    let mut line = [0; 7];
    tty.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"hello\r\n");
    assert!(guest.is_bound());
    until("word that there is room again", || (guest.events() > 0).then_some(()));
    tty.write_all(b"typed").unwrap();
    assert_eq!(guest.read(5), b"typed");
    assert_eq!(fs::read(machine.hypervisor().dir().join("guest-web.log")).unwrap(), b"hello\r\n");
    // More than a ring.
    let long: Vec<u8> = (0..20_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    guest.write(&long);
    guest.drained();
    let mut came = vec![0; long.len()];
    tty.read_exact(&mut came).unwrap();
    assert!(came == long);
    machine.shut_down(&guest, Shutdown::Crash);
    guest.write("last words");
    guest.drained();
    machine.destroy(&guest);
    until("the end of the pty", || matches!(tty.read(&mut [0; 100]), Ok(0) | Err(_)).then_some(()));
}

/// A store over a hypervisor sees domains end; and none that there is not.
fn domains_end(machine: &Machine) {
    let mut watcher = machine.client();
    watcher.watch("@releaseDomain", "out").unwrap();
    let mut released = || watcher.next_event(Instant::now() + PATIENCE).unwrap().unwrap().path.clone();
    assert_eq!(released(), "@releaseDomain", "the first event of any watch");
    let (guest, other) = (machine.guest(7, "web"), machine.guest(8, "db"));
    let mut client = machine.client();
    assert!(client.is_domain_introduced(7).unwrap());
    machine.shut_down(&guest, Shutdown::Crash);
    assert_eq!(released(), "@releaseDomain");
    assert!(client.is_domain_introduced(7).unwrap(), "it is still there");
    machine.destroy(&guest);
    assert_eq!(released(), "@releaseDomain");
    until("its end in the store", || (!client.is_domain_introduced(7).unwrap()).then_some(()));
    machine.hypervisor().begin_dying(other.domid());
    until("its end in the store", || (!client.is_domain_introduced(8).unwrap()).then_some(()));
    assert!(client.introduce(9, 1, 1).is_err(), "there is no such domain");
}

/// Whoever is killed has bound nothing any more, from the moment when its death is known.
fn the_killed_let_go(machine: &Machine) {
    let guest = machine.guest(7, "web");
    for _ in 0..5 {
        let daemon = daemon(machine, &["--log=hv"]);
        until("a daemon that serves", || (guest.is_bound() && machine.hypervisor().console_is_bound()).then_some(()));
        drop(daemon);
        assert!(!guest.is_bound() && !machine.hypervisor().console_is_bound());
    }
}

/// The hypervisor's console is read as it is written.
fn the_hypervisor_is_heard(machine: &Machine) {
    machine.hypervisor().print("(XEN) before\n");
    let _daemon = daemon(machine, &["--log=hv"]);
    let file = machine.hypervisor().dir().join("hypervisor.log");
    let holds = |text: &str| until(text, || (fs::read_to_string(&file).ok()? == text).then_some(()));
    holds("(XEN) before\n");
    until("a daemon that listens", || machine.hypervisor().console_is_bound().then_some(()));
    machine.hypervisor().print("(XEN) after\n");
    holds("(XEN) before\n(XEN) after\n");
}

/// Everything that can be told to fail does.
fn what_is_to_fail_fails(machine: &Machine) {
    let (unbindable, hidden, ungranted) =
        (machine.introduce(7, "a"), machine.introduce(8, "b"), machine.introduce(9, "c"));
    machine.hypervisor().refuse_bindings(7, true);
    hidden.revoke_grant();
    hidden.hide_frame();
    ungranted.revoke_grant();
    for guest in [&unbindable, &hidden, &ungranted] {
        machine.announce(guest, &testbed::console_nodes(guest));
    }
    let _daemon = daemon(machine, &[]);
    let last = machine.guest(10, "d");
    until("the last one", || (last.is_bound() && ungranted.is_bound()).then_some(()));
    assert!(!unbindable.is_bound() && !hidden.is_bound());
}

/// What stands in the ring is a matter of the guest's page alone, whatever the index.
fn indices_wrap(machine: &Machine) {
    let guest = machine.introduce(7, "web");
    for index in [Index::OutCons, Index::OutProd, Index::InCons, Index::InProd] {
        guest.set_index(index, u32::MAX - 10);
    }
    machine.announce(&guest, &testbed::console_nodes(&guest));
    let _daemon = daemon(machine, &[]);
    let mut tty = tty(machine, 7);
    for _ in 0..5 {
        guest.write("0123456789");
        let mut came = [0; 10];
        tty.read_exact(&mut came).unwrap();
        tty.write_all(&came).unwrap();
        assert_eq!(guest.read(10), b"0123456789");
    }
    assert_eq!(guest.index(Index::OutProd), 39);
}

/// As many guests as a large host has, all of which write at once.
fn six_hundred_guests(machine: &Machine) {
    let _daemon = daemon(machine, &["--log=guest"]);
    let guests: Vec<_> = (1..=600).map(|domid| machine.guest(domid, &format!("g{domid}"))).collect();
    for guest in &guests {
        until("a bound port", || guest.is_bound().then_some(()));
    }
    for round in 0..3 {
        for guest in &guests {
            guest.write(format!("{round}: I am {}\n", guest.domid()));
        }
    }
    for guest in &guests {
        let log = machine.hypervisor().dir().join(format!("guest-g{}.log", guest.domid()));
        let text: String = (0..3).map(|round| format!("{round}: I am {}\n", guest.domid())).collect();
        until("a guest's log", || (fs::read_to_string(&log).ok()? == text).then_some(()));
    }
}

macro_rules! on_both_stores {
    ($($test:ident)*) => {
        mod c { $(#[test] fn $test() { super::on(super::StoreKind::C, super::$test); })* }
        mod ocaml { $(#[test] fn $test() { super::on(super::StoreKind::OCaml, super::$test); })* }
    };
}

on_both_stores! {
    a_guest_is_served
    domains_end
    the_killed_let_go
    the_hypervisor_is_heard
    what_is_to_fail_fails
    indices_wrap
}

/// With oxenstored it takes a minute to make them.
#[test]
fn c_six_hundred_guests() {
    on(StoreKind::C, six_hundred_guests);
}

/// A program that opens libraries by name, and functions in them.
const OPENER: &str = r#"
#include <dlfcn.h>
int main(int count, char **names)
{
	for (int i = 1; i + 1 < count; i += 2) {
		void *library = dlopen(names[i], RTLD_NOW);
		Dl_info info;
		if (!library || !dlsym(library, names[i + 1]) || !dladdr(dlsym(library, names[i + 1]), &info))
			return i;
	}
	return 0;
}
"#;

/// Programs that open Xen's libraries by name find those of the hypervisor, whatever is installed.
#[test]
fn libraries_are_found_by_name() {
    if !StoreKind::C.available() {
        return;
    }
    let machine = Machine::start(StoreKind::C);
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("opener.c"), dir.path().join("opener"));
    fs::write(&source, OPENER.replace("#include", "#define _GNU_SOURCE\n#include")).unwrap();
    assert!(Command::new("cc").arg("-o").args([&program, &source]).status().unwrap().success());
    let mut command = Command::new(&program);
    for (library, function) in [
        ("libxenevtchn.so.1", "xenevtchn_open"),
        ("libxengnttab.so.1", "xengnttab_map_grant_ref"),
        ("libxenforeignmemory.so.1", "xenforeignmemory_map"),
        ("libxenctrl.so.4.17", "xc_readconsolering"),
    ] {
        command.args([library, function]);
    }
    machine.hypervisor().run_opening(&mut command);
    let status = command.env("LD_DEBUG", "libs").env("LD_DEBUG_OUTPUT", dir.path().join("found")).status().unwrap();
    assert!(status.success(), "{status}");
    let found =
        fs::read_dir(dir.path()).unwrap().flatten().find(|entry| entry.file_name().to_string_lossy().contains("found"));
    let found = fs::read_to_string(found.unwrap().path()).unwrap();
    let own = machine.hypervisor().dir().join("lib").display().to_string();
    assert_eq!(found.matches(&format!("calling init: {own}")).count(), 1, "one library under all names:\n{found}");
    assert!(!found.contains("calling init: /lib/x86_64-linux-gnu/libxen"), "{found}");
}
