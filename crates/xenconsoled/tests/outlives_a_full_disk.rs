//! A disk that is full costs no writer more than a moment, no other log anything, and what is lost is counted where it is missing.

mod host;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use host::{Host, Log, domain, goes_on, ledger_balances, mount, numbered, until};

/// A log directory with a small file system of its own in it.
const DISKS: &str = "mount -t tmpfs -o size=64m tmpfs \"$DIR\" && mkdir \"$DIR/small\" && \
                     mount -t tmpfs -o size=4m,nr_inodes=64 tmpfs \"$DIR/small\"";

fn host_on(disk: &Path) -> Host {
    let host = Host::configured("[daemon]\ndrain-seconds = 1");
    // The log directory's own name leads there: a root may be a symbolic link.
    fs::remove_dir(host.log_dir()).unwrap();
    std::os::unix::fs::symlink(disk, host.log_dir()).unwrap();
    host
}

/// Lines of 16 bytes, more than a log's pipe has room for when it was made larger, and a hand besides.
const LINES: u32 = 40_000;

/// A log on the small disk.
fn small(host: &Host, id: &str) -> Log {
    host.log(domain(5), id).file(host.log_dir().join(format!("small/{id}.log"))).limit(1 << 20).copies(0)
}

/// Takes all room of a disk but so many bytes, and gives it back when it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn leave(disk: &Path, free: u64) -> Ballast {
        let path = disk.join("ballast");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len - free).unwrap();
        Ballast(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Also: another disk's logs do not notice, and the daemon says it once.
#[test]
fn a_log_that_may_drop_goes_on_after_each_outage_with_one_marker() {
    mount::on(DISKS, "a_log_that_may_drop_goes_on_after_each_outage_with_one_marker", |disk| {
        let mut host = host_on(&disk);
        let (log, other) = (small(&host, "qemu"), host.log(domain(6), "qemu"));
        let (mut end, mut other_end) = (log.open(), other.open());
        let mut written = Vec::new();
        for round in 1..=3 {
            let ballast = Ballast::leave(&disk.join("small"), 20_000);
            // Far more than the disk and the pipe have room for, by a writer that waits when it has to.
            for first in (0..12_000).step_by(1000) {
                let bytes = numbered(first..first + 1000);
                end.write_all(bytes.as_bytes()).unwrap();
                written.extend_from_slice(bytes.as_bytes());
            }
            other_end.write_all(numbered(round..round + 1).as_bytes()).unwrap();
            other.holds(numbered(1..round + 1));
            drop(ballast);
            goes_on(&mut end, &log, &mut written);
            assert_eq!(ledger_balances(&log, &written, "No space left"), round as usize);
        }
        let reports = host.daemon().reports();
        let (trouble, gaps, well) = (" cannot be written: ", " bytes were dropped: ", " can be written again, ");
        for what in [trouble, gaps, well] {
            assert_eq!(reports.iter().filter(|line| line.contains(what)).count(), 3, "{what}: {reports:#?}");
        }
        assert_eq!(reports.len(), 1 + 3 * 3, "{reports:#?}");
    });
}

#[test]
fn a_log_that_must_not_drop_waits_and_loses_nothing() {
    mount::on(DISKS, "a_log_that_must_not_drop_waits_and_loses_nothing", |disk| {
        let mut host = host_on(&disk);
        let log = small(&host, "qemu").limit(4 << 20).node("policy", "block");
        let mut end = log.open();
        for round in 0..3 {
            let ballast = Ballast::leave(&disk.join("small"), 20_000);
            let writer = thread::spawn(move || {
                end.write_all(numbered(round * LINES..(round + 1) * LINES).as_bytes()).unwrap();
                end
            });
            until("a full disk", || (host.daemon().reports().len() == 2 + 2 * round as usize).then_some(()));
            assert!(!writer.is_finished(), "the pipe has not room for that");
            drop(ballast);
            end = writer.join().unwrap();
            log.holds(numbered(0..(round + 1) * LINES));
            // Room for the next round.
            if round < 2 {
                log.set("limit", (4 << 20).to_string());
            }
        }
    });
}

/// What was dropped at the very end of a log has no bytes after it: it is said in the daemon's own log.
#[test]
fn a_log_that_ends_on_a_full_disk_is_closed() {
    mount::on(DISKS, "a_log_that_ends_on_a_full_disk_is_closed", |disk| {
        let mut host = host_on(&disk);
        let log = small(&host, "qemu");
        let mut end = log.open();
        let _ballast = Ballast::leave(&disk.join("small"), 4096);
        end.write_all(numbered(0..3000).as_bytes()).unwrap();
        until("a full disk", || (host.daemon().reports().len() == 2).then_some(()));
        log.remove();
        drop(end);
        log.closed(host.daemon());
        let kept = log.content().len();
        let said = format!("{} bytes at its end could not be written", 3000 * 16 - kept);
        let reports = host.daemon().reports();
        assert!(reports[2].contains(&said), "{reports:#?}");
    });
}

/// Lines written one by one to a full disk, by a guest that has all the time in the world.
#[test]
fn a_guest_cannot_fill_the_daemons_own_log() {
    mount::on(DISKS, "a_guest_cannot_fill_the_daemons_own_log", |disk| {
        let mut host = host_on(&disk);
        let log = small(&host, "qemu");
        let mut end = log.open();
        let _ballast = Ballast::leave(&disk.join("small"), 4096);
        for number in 0..10_000 {
            end.write_all(numbered(number..number + 1).as_bytes()).unwrap();
        }
        let reports = host.daemon().reports();
        assert!(reports.len() <= 3, "{reports:#?}");
    });
}

/// No room for a new file: the request is refused, and may be made again.
#[test]
fn a_log_that_cannot_be_made_is_refused() {
    mount::on(DISKS, "a_log_that_cannot_be_made_is_refused", |disk| {
        let host = host_on(&disk);
        fs::create_dir(disk.join("small/hoard")).unwrap();
        let hoard = |number: u32| disk.join(format!("small/hoard/{number}"));
        let files = (0..1000).take_while(|number| File::create(hoard(*number)).is_ok()).count();
        let log = small(&host, "qemu");
        log.ask();
        let text = log.refused(logproto::Code::FileOpen);
        assert!(text.contains("No space left"), "{text} with {files} files");
        assert!(!host::has_reader(&log.pipe));
        fs::remove_dir_all(disk.join("small/hoard")).unwrap();
        log.forget_answer();
        log.open().write_all(b"line\n").unwrap();
        log.holds("line\n");
    });
}

/// A pipe without a writer is not looked at until a new one comes. After an outage it was forgotten that it is to be left alone:
/// with its last writer gone, the daemon ran round in circles.
#[test]
fn after_an_outage_a_pipe_without_a_writer_is_left_alone() {
    mount::on(DISKS, "after_an_outage_a_pipe_without_a_writer_is_left_alone", |disk| {
        let mut host = host_on(&disk);
        let log = small(&host, "qemu");
        drop(log.open());
        host.daemon().rests();
        let mut end = log.draft_end();
        let ballast = Ballast::leave(&disk.join("small"), 4096);
        end.write_all(numbered(0..3000).as_bytes()).unwrap();
        until("a full disk", || (host.daemon().reports().len() == 2).then_some(()));
        drop(ballast);
        until("the log to go on", || (host.daemon().reports().len() == 3).then_some(()));
        drop(end);
        host.daemon().rests();
        log.draft_end().write_all(b"the end\n").unwrap();
        until("the last line", || log.content().ends_with(b"the end\n").then_some(()));
    });
}
