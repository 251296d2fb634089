//! What is not to be had, descriptors or room in pipes, costs running logs nothing, and new ones no more than time.

mod host;

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use host::{Host, Log, StoreKind, domain, fifo, has_reader, numbered};
use logproto::Code;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

#[test]
fn without_descriptors_running_logs_go_on_and_a_new_one_is_told_why() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu");
    let rotated = host.log(domain(5), "rotated").limit(4096).copies(99).node("policy", "block");
    let (mut end, mut rotated_end) = (log.open(), rotated.open());
    host.barrier();
    host.daemon().may_open_nothing();
    end.write_all(numbered(0..2000).as_bytes()).unwrap();
    log.holds(numbered(0..2000));
    let new = host.log(domain(6), "qemu");
    new.ask();
    let text = new.refused(Code::PipeOpen);
    assert!(text.starts_with("/libxl/6/logging/qemu/pipe: ") && text.contains("Too many open files"), "{text}");
    assert!(!has_reader(&new.pipe));
    // What an entry asks for can be looked at all the same, and its answer be given.
    log.set("copies", "7");
    log.forget_answer();
    log.ready();
    // A file that is full is renamed, and another one opened: that may have to wait, and loses nothing.
    rotated_end.write_all(numbered(0..1000).as_bytes()).unwrap();
    end.write_all(numbered(2000..4000).as_bytes()).unwrap();
    log.holds(numbered(0..4000));
    host.daemon().may_open_again();
    rotated.holds(numbered(0..1000));
    new.forget_answer();
    new.ready();
    new.end().write_all(b"served after all\n").unwrap();
    new.holds("served after all\n");
}

/// A connection that is lost leaves its number to the next one. To take up entries anew takes more, and they are told so.
#[test]
fn without_descriptors_a_store_that_comes_back_is_found_again() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    host.barrier();
    host.daemon().may_open_nothing();
    for round in 0..5 {
        host.store.restart();
        host.serving();
        end.write_all(numbered(round..round + 1).as_bytes()).unwrap();
        log.holds(numbered(0..round + 1));
    }
    host.daemon().may_open_again();
    log.write();
    log.ready();
    end.write_all(numbered(5..6).as_bytes()).unwrap();
    log.holds(numbered(0..6));
}

/// Set for [`hoarder_part`].
const HOARDER: &str = "XENCONSOLED_TEST_HOARDER";

/// Once a user's pipes have taken up what /proc/sys/fs/pipe-user-pages-soft grants, new ones have two pages and stay so small
/// (pipe(7)). The daemon runs as such a user here, as one that may not ask for more.
#[test]
fn pipes_that_cannot_be_enlarged_are_used_as_they_are() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("XENLOG_TEST_ALL").is_none_or(|all| all != "1"), "only root can become somebody else");
        println!("passed by: only root can become somebody else");
        return;
    }
    // Somebody who has nothing else.
    let user = 0x7000_0000 + std::process::id();
    let mut host = Host::idle(StoreKind::Embedded, "");
    let programs = reachable(&host, user);
    let mut hoarder = Command::new(&programs[0]);
    hoarder.args(["hoarder_part", "--exact", "--nocapture"]).env(HOARDER, "1").uid(user).gid(user);
    let mut hoarder = hoarder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(hoarder.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with(FULL)), "it has taken all");
    let socket = host.store.socket();
    host.launch_at(&socket, |command| {
        let mut other = Command::new(&programs[1]);
        other.args(command.get_args()).env("XENSTORED_PATH", &socket).stdin(Stdio::null());
        *command = other;
        command.uid(user).gid(user);
    });
    host.serving();
    let logs: Vec<Log> = ["a", "b", "c"].map(|id| host.log(domain(5), id).node("policy", "block")).into();
    let ends: Vec<File> = logs.iter().map(|log| open(log, user)).collect();
    // Two pages in place of sixteen.
    let usual = fcntl_getpipe_size(pipe_with(PipeFlags::CLOEXEC).unwrap().0).unwrap();
    assert!(ends.iter().all(|end| fcntl_getpipe_size(end).unwrap() == usual / 8), "pipes are small");
    const LINES: u32 = 60_000;
    let writers = ends.into_iter().map(|mut end| {
        thread::spawn(move || {
            for first in (0..LINES).step_by(1000) {
                end.write_all(numbered(first..first + 1000).as_bytes()).unwrap();
            }
        })
    });
    writers.collect::<Vec<_>>().into_iter().for_each(|writer| writer.join().unwrap());
    logs.iter().for_each(|log| log.holds(numbered(0..LINES)));
    // It ends with its standard input.
    drop(hoarder.stdin.take());
    assert!(hoarder.wait().unwrap().success());
}

/// Asks for a log whose FIFO belongs to the daemon's user.
fn open(log: &Log, user: u32) -> File {
    fifo(&log.pipe);
    chown(&log.pipe, Some(user), Some(user)).unwrap();
    log.open()
}

/// Gives the host's directories to a user and lets it use the store. Answers with copies of this program and of the daemon's,
/// where it can execute them.
fn reachable(host: &Host, user: u32) -> [PathBuf; 2] {
    for dir in [host.dir(), &host.run_dir(), &host.log_dir()] {
        chown(dir, Some(user), Some(user)).unwrap();
    }
    fs::set_permissions(host.store.dir(), Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(host.store.socket(), Permissions::from_mode(0o666)).unwrap();
    let this = std::env::current_exe().unwrap();
    [this.as_path(), Path::new(env!("CARGO_BIN_EXE_xenconsoled"))].map(|program| {
        let copy = host.dir().join(format!("copy-of-{}", program.file_name().unwrap().display()));
        fs::copy(program, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
        copy
    })
}

/// What the hoarder says when it has all.
const FULL: &str = "no page is left";

/// Takes all pages that its user may have for pipes, and keeps them until its standard input ends.
#[test]
fn hoarder_part() {
    if std::env::var_os(HOARDER).is_none() {
        return;
    }
    let mut pipes = Vec::new();
    let (mut room, mut usual) = (1 << 20, 0);
    loop {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let size = fcntl_getpipe_size(&writer).unwrap();
        usual = usual.max(size);
        let is_small = size < usual;
        if !is_small && room > 0 && fcntl_setpipe_size(&writer, room) == Err(Errno::PERM) {
            // What is left is less.
            room = 0;
        }
        pipes.push((reader, writer));
        if is_small {
            break;
        }
    }
    println!("{FULL}");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
