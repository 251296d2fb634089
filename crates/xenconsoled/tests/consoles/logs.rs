//! Console logs are logs like all others.

use std::fs::{self, File};
use std::io::Write;

use testbed::{StoreKind, console_nodes, until};

use crate::mount;
use crate::repeats;
use crate::scene::{Scene, number};
use crate::tty::Tty;

/// A disk that is full: the guest does not wait, its console is shown, and what the log lacks is counted and told where it is missing.
#[test]
fn a_full_disk_holds_up_no_guest() {
    let disk = "mount -t tmpfs -o size=256k,nr_inodes=64 tmpfs \"$DIR\"";
    mount::on(disk, "logs::a_full_disk_holds_up_no_guest", |disk| {
        if !StoreKind::C.available() {
            return;
        }
        let dir = tempfile::Builder::new().prefix("consoles").tempdir().unwrap();
        std::os::unix::fs::symlink(&disk, dir.path().join("log")).unwrap();
        let scene = Scene::in_dir(dir, &["--log=guest", "--console-limit=8m", "--console-copies=0"]);
        let guest = scene.machine.guest(7, "web");
        let mut tty = Tty::open(&scene.tty(7));
        guest.write("first\n");
        scene.log_holds("guest-web.log", "first\n");
        let ballast = disk.join("ballast");
        let mut file = File::create(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        // Far more than disk and pipe have room for.
        let text: String = (0..40_000).map(repeats::line).collect();
        std::thread::scope(|scope| {
            let shown = scope.spawn(|| tty.read_until(repeats::line(39_999)));
            guest.write(&text);
            guest.drained();
            assert_eq!(String::from_utf8_lossy(&shown.join().unwrap()), format!("first\n{text}"));
        });
        drop(file);
        fs::remove_file(&ballast).unwrap();
        guest.write("the last line\n");
        let log = until("a log that goes on", || {
            let log = fs::read_to_string(scene.log("guest-web.log")).unwrap();
            log.ends_with("the last line\n").then_some(log)
        });
        let marked: Vec<u64> =
            log.lines().filter_map(|line| line.strip_prefix("[xenlog: ")?.split(' ').next()?.parse().ok()).collect();
        let markers: usize = log.lines().filter(|line| line.starts_with("[xenlog: ")).map(|line| line.len() + 1).sum();
        let status = scene.status();
        let out = number(&status, "out");
        assert_eq!(out, (6 + text.len() + 14) as u64);
        let dropped: u64 = marked.iter().sum();
        assert!(dropped > 0, "{log}");
        // A marker in the middle of a line begins with a newline of its own.
        let accounted = (log.len() - markers) as u64 + dropped;
        assert!((out..=out + marked.len() as u64).contains(&accounted), "{accounted} of {out}");
    });
}

/// A flood goes into as many files as it may, and no more.
#[test]
fn a_flood_is_rotated() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&["--log=guest", "--console-limit=16k", "--console-copies=2"]);
    let guest = scene.machine.guest(7, "web");
    let mut tty = Tty::open(&scene.tty(7));
    let text: String = (0..5_000).map(repeats::line).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| tty.read_until(repeats::line(4_999)));
        guest.write(&text);
    });
    let last = repeats::line(4_999);
    until("the last line", || fs::read_to_string(scene.log("guest-web.log")).ok()?.ends_with(&last).then_some(()));
    let mut names: Vec<String> =
        fs::read_dir(scene.log("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["guest-web.log", "guest-web.log.1", "guest-web.log.2"]);
    let kept: String = ["guest-web.log.2", "guest-web.log.1", "guest-web.log"]
        .map(|name| fs::read_to_string(scene.log(name)).unwrap())
        .concat();
    assert!(kept.len() <= 3 * (16 << 10) && text.ends_with(&kept), "{} bytes", kept.len());
}

/// The daemon's own files are nobody's to ask for.
#[test]
fn a_consoles_file_is_taken() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&["--log=guest"]);
    let guest = scene.machine.guest(7, "web");
    guest.write("mine\n");
    scene.log_holds("guest-web.log", "mine\n");
    let mut client = scene.machine.client();
    let ask = |client: &mut xenstore::Client, id: &str, name: &str| {
        let pipe = scene.dir.path().join("run").join(id);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let entry = format!("/libxl/logging/{id}");
        client.write(&format!("{entry}/pipe"), pipe.as_os_str().as_encoded_bytes()).unwrap();
        client.write(&format!("{entry}/file"), scene.log(name).as_os_str().as_encoded_bytes()).unwrap();
        let node = |client: &mut xenstore::Client, node: &str| {
            client.read(&format!("{entry}/{node}")).ok().and_then(|value| String::from_utf8(value).ok())
        };
        let state = until("an answer", || node(client, "state"));
        node(client, "error").unwrap_or(state)
    };
    let answer = ask(&mut client, "a", "guest-web.log");
    assert!(answer.starts_with("in-use") && answer.contains("/local/domain/7/console"), "{answer}");
    // And the other way round: what an entry has is not the console's.
    assert_eq!(ask(&mut client, "b", "guest-db.log"), "ready");
    let db = scene.machine.guest(8, "db");
    db.write("elsewhere\n");
    scene.log_holds("guest-db-8.log", "elsewhere\n");
    scene.log_holds("guest-db.log", "");
}

/// What a guest wrote last is looked at also while its events are held back.
#[test]
fn last_words_of_a_guest_that_is_held_back() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&["--log=guest"]);
    let guest = scene.machine.guest(7, "web");
    scene.tty(7);
    guest.write("first words\n");
    scene.log_holds("guest-web.log", "first words\n");
    // While the daemon is at one event others come together, so it takes many.
    until("a guest that is held back", || {
        (0..5_000).for_each(|_| guest.kick());
        (number(&scene.status(), "held") > 0).then_some(())
    });
    guest.put("last words\n");
    scene.machine.destroy(&guest);
    scene.log_holds("guest-web.log", "first words\nlast words\n");
}

/// Where a guest's console moved to another page, or another domain took the id before that was noticed, what the old page still held
/// was missing from the log and the pty.
#[test]
fn what_a_page_holds_is_taken_before_another_takes_its_place() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&["--log=guest"]);
    let mut guest = scene.machine.guest(7, "web");
    let mut tty = Tty::open(&scene.tty(7));
    guest.write("one\n");
    tty.read_until("one\n");
    guest.put_silently("two\n");
    guest.move_console();
    guest.console_mut().change_port(9);
    scene.machine.announce(&guest, &console_nodes(&guest));
    until("another port", || guest.is_bound().then_some(()));
    guest.write("three\n");
    assert_eq!(String::from_utf8_lossy(&tty.read_until("three\n")), "two\nthree\n");
    scene.log_holds("guest-web.log", "one\ntwo\nthree\n");
}
