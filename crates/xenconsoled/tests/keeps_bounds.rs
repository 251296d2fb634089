//! A log never takes more than limit × (copies + 1) bytes, whatever its writer does; what is kept is the newest, whole lines in
//! each file.

mod host;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;

use host::{Host, Log, StoreKind, domain, numbered, on_every_store, until};

const LIMIT: u64 = 64 << 10;
const COPIES: u32 = 3;
/// 32 times what is kept.
const LINES: u32 = 16 * 32 * 1024;

on_every_store! {
    a_flood_stays_within_its_bounds
    other_bounds_are_taken_up_by_a_running_log
}

/// Looks at the files without rest until the flood is over and its end has arrived.
fn a_flood_stays_within_its_bounds(kind: StoreKind) {
    let host = Host::on(kind, "");
    let log = host.log(domain(5), "qemu").limit(LIMIT).copies(COPIES);
    let samples = watched(&flood(&log), &log, || {
        let sizes = log.sizes();
        assert!(sizes.len() <= COPIES as usize + 1, "{sizes:?}");
        assert!(sizes.iter().all(|(_, size)| *size <= LIMIT), "{sizes:?}");
        sizes.iter().map(|(_, size)| size).sum()
    });
    assert!(samples.iter().max() <= Some(&(LIMIT * (u64::from(COPIES) + 1))));
    newest_lines_are_there(&log);
}

/// The same by what the file system itself says is taken, which misses nothing and sees all at one instant.
#[test]
fn the_disk_never_holds_more() {
    const SMALL: &str = "mount -t tmpfs -o size=16m tmpfs \"$DIR\"";
    host::mount::on(SMALL, "the_disk_never_holds_more", |disk| {
        let host = Host::start();
        // The log directory's own name leads there: a root may be a symbolic link.
        fs::remove_dir(host.log_dir()).unwrap();
        std::os::unix::fs::symlink(&disk, host.log_dir()).unwrap();
        for copies in [0, COPIES] {
            let log = host.log(domain(5), &format!("with-{copies}")).limit(LIMIT).copies(copies);
            let before = used(&disk);
            let samples = watched(&flood(&log), &log, || used(&disk) - before);
            assert!(samples.iter().max() <= Some(&(LIMIT * (u64::from(copies) + 1))), "{:?}", samples.iter().max());
            log.remove();
        }
    });
}

fn used(disk: &Path) -> u64 {
    let found = rustix::fs::statvfs(disk).unwrap();
    (found.f_blocks - found.f_bfree) * found.f_frsize
}

/// Writes as fast as the pipe takes it.
fn flood(log: &Log) -> thread::JoinHandle<()> {
    let mut end = log.open();
    thread::spawn(move || {
        for first in (0..LINES).step_by(1024) {
            end.write_all(numbered(first..first + 1024).as_bytes()).unwrap();
        }
    })
}

fn watched(flood: &thread::JoinHandle<()>, log: &Log, sample: impl Fn() -> u64) -> Vec<u64> {
    let last = numbered(LINES - 1..LINES);
    let is_over = || flood.is_finished() && log.content().ends_with(last.as_bytes());
    let mut samples = Vec::new();
    until("the end of the flood", || {
        for _ in 0..500 {
            samples.push(sample());
        }
        is_over().then_some(())
    });
    samples
}

/// The files are full of lines, without a gap up to the last one, and none is torn.
fn newest_lines_are_there(log: &Log) {
    let sizes = log.sizes();
    assert_eq!(sizes.len(), COPIES as usize + 1);
    let mut kept = 0;
    for (file, size) in &sizes {
        let content = fs::read_to_string(file).unwrap();
        assert!(content.starts_with("line ") && content.ends_with('\n'), "{}", file.display());
        kept += size / 16;
    }
    let first = LINES - u32::try_from(kept).unwrap();
    assert!(log.content() == numbered(first..LINES).as_bytes(), "lines are missing or out of order");
    assert!(sizes[..COPIES as usize].iter().all(|(_, size)| *size > LIMIT - 16), "{sizes:?}");
}

fn other_bounds_are_taken_up_by_a_running_log(kind: StoreKind) {
    let host = Host::on(kind, "");
    let log = host.log(domain(5), "qemu").limit(8192).copies(4);
    let mut end = log.open();
    end.write_all(numbered(0..512 * 5).as_bytes()).unwrap();
    until("five files", || (log.content().len() == 5 * 8192).then_some(()));
    log.set("copies", "1");
    until("the surplus copies' removal", || (log.sizes().len() == 2).then_some(()));
    assert_eq!(log.content(), numbered(512 * 3..512 * 5).as_bytes());
    log.set("limit", "16384");
    // Whether it is taken up shows only where a file would have been full before.
    host.barrier();
    end.write_all(numbered(0..1024).as_bytes()).unwrap();
    until("a file of the new size", || {
        let sizes: Vec<u64> = log.sizes().iter().map(|(_, size)| *size).collect();
        (sizes == [16384, 8192]).then_some(())
    });
    log.set("limit", "4096");
    until("a file that is not too large", || (log.sizes().last()?.1 <= 4096).then_some(()));
    end.write_all(numbered(0..2048).as_bytes()).unwrap();
    log.holds(numbered(2048 - 512..2048));
}

/// Lines longer than a file are split, and nothing of them is lost.
#[test]
fn a_line_without_end_is_cut_where_the_file_ends() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu").limit(4096).copies(9);
    let mut end = log.open();
    let bytes: Vec<u8> = (0..4096 * 9 + 100).map(|n| b'a' + (n / 4096) as u8).collect();
    end.write_all(&bytes).unwrap();
    log.holds(&bytes);
    assert!(log.sizes()[..9].iter().all(|(_, size)| *size == 4096));
}
