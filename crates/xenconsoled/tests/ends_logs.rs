//! A log ends with its entry: what its writer still has to say is in the file, and then nothing is left of it but the file.

mod host;

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;

use host::{Host, Log, StoreKind, domain, has_reader, numbered, on_every_store, until};
use logproto::Owner;

/// No deadline that a test could meet.
const PATIENT: &str = "[daemon]\ndrain-seconds = 86400";

on_every_store! {
    a_log_reads_on_until_its_writer_is_gone
    a_domain_that_is_destroyed_takes_its_logs_along
    an_entry_removed_while_it_is_opened_leaves_nothing
}

fn a_log_reads_on_until_its_writer_is_gone(kind: StoreKind) {
    let mut host = Host::on(kind, PATIENT);
    let before = host.descriptors();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(numbered(0..10).as_bytes()).unwrap();
    log.remove();
    host.barrier();
    end.write_all(numbered(10..20).as_bytes()).unwrap();
    log.holds(numbered(0..20));
    // Its last words, on a day when the daemon is slow.
    host.daemon().halt();
    end.write_all(numbered(20..30).as_bytes()).unwrap();
    drop(end);
    host.daemon().go_on();
    nothing_is_left_of(&log, &mut host, before);
    assert_eq!(log.content(), numbered(0..30).as_bytes());
}

fn nothing_is_left_of(log: &Log, host: &mut Host, descriptors: usize) {
    log.closed(host.daemon());
    until("the FIFO's removal", || (!log.pipe.exists()).then_some(()));
    let now = host.daemon().descriptors();
    assert_eq!(now.len(), descriptors, "{now:?}");
    assert!(!log.is_in_store());
}

/// As libxl does it: everything of the domain goes at once, with QEMU still there.
fn a_domain_that_is_destroyed_takes_its_logs_along(kind: StoreKind) {
    let mut host = Host::on(kind, PATIENT);
    let before = host.descriptors();
    let logs = ["qemu", "vnc", "tpm"].map(|id| host.log(domain(5), id));
    let other = host.log(domain(6), "qemu");
    let ends = logs.each_ref().map(Log::open);
    let mut other_end = other.open();
    host.client().rm("/libxl/5").unwrap();
    for mut end in ends {
        end.write_all(b"the end\n").unwrap();
    }
    for log in &logs {
        log.closed(host.daemon());
        assert_eq!(log.content(), b"the end\n");
        until("the FIFO's removal", || (!log.pipe.exists()).then_some(()));
    }
    other_end.write_all(b"alive\n").unwrap();
    other.holds("alive\n");
    other.remove();
    drop(other_end);
    nothing_is_left_of(&other, &mut host, before);
}

/// Time and again, since it depends on the moment what the removal meets.
fn an_entry_removed_while_it_is_opened_leaves_nothing(kind: StoreKind) {
    let mut host = Host::on(kind, "");
    let before = host.descriptors();
    let mut client = host.client();
    for round in 0..200 {
        let log = host.log(domain(5), &format!("a{round}"));
        log.ask();
        if round % 3 == 0 {
            until("an answer", || log.state());
        }
        // Two at a time, so that it is not always the same one that the daemon is at.
        host.log(domain(5), &format!("b{round}")).ask();
        client.rm("/libxl/5").unwrap();
    }
    host.barrier();
    // An answer that came too late would have made the entry anew.
    assert!(client.directory("/libxl/5").is_err(), "{:?}", client.directory("/libxl/5/logging"));
    until("the end of all logs", || (host.daemon().descriptors().len() == before).then_some(()));
    for entry in fs::read_dir(host.run_dir()).unwrap().map(Result::unwrap) {
        assert!(!entry.file_type().unwrap().is_fifo() || !has_reader(&entry.path()));
    }
}

#[test]
fn the_fifo_may_go_before_the_entry_or_after_it() {
    let mut host = Host::configured(PATIENT);
    let before = host.descriptors();
    for fifo_first in [true, false] {
        let log = host.log(Owner::Host, if fifo_first { "first" } else { "last" });
        let mut end = log.open();
        if fifo_first {
            fs::remove_file(&log.pipe).unwrap();
            host.barrier();
            end.write_all(b"without a name\n").unwrap();
            log.holds("without a name\n");
            log.remove();
        } else {
            log.remove();
            fs::remove_file(&log.pipe).unwrap();
        }
        host.barrier();
        end.write_all(b"the end\n").unwrap();
        drop(end);
        nothing_is_left_of(&log, &mut host, before);
        assert!(log.content().ends_with(b"the end\n"));
    }
}

/// QEMU hangs, or has passed its standard error on to somebody who lives for ever.
#[test]
fn a_writer_that_never_closes_is_not_waited_for_for_ever() {
    let mut host = Host::configured("[daemon]\ndrain-seconds = 1");
    let before = host.descriptors();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    host.daemon().halt();
    end.write_all(numbered(0..1000).as_bytes()).unwrap();
    log.remove();
    host.daemon().go_on();
    nothing_is_left_of(&log, &mut host, before);
    assert_eq!(log.content(), numbered(0..1000).as_bytes());
    end.write_all(b"to nobody\n").unwrap();
    host.barrier();
    assert_eq!(log.content(), numbered(0..1000).as_bytes());
}

/// A writer that floods its log on its way out does not prolong the end either.
#[test]
fn a_writer_that_never_stops_is_not_waited_for_for_ever() {
    let mut host = Host::configured("[daemon]\ndrain-seconds = 1");
    let before = host.descriptors();
    let log = host.log(domain(5), "qemu").limit(1 << 20).copies(1);
    let mut end = log.open();
    drop(log.impatient_end());
    rustix::fs::fcntl_setfl(&end, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            // A full pipe is an error here.
            let _ = end.write_all(numbered(0..64).as_bytes());
        }
    });
    log.remove();
    log.closed(host.daemon());
    nothing_is_left_of(&log, &mut host, before);
    drop(stop);
    flood.join().unwrap();
}

/// A client may be slow: its log is over before it opened its end. It must not find a pipe that nobody will ever read.
#[test]
fn a_log_that_ends_before_its_writer_came_is_closed_at_once() {
    let mut host = Host::configured(PATIENT);
    let before = host.descriptors();
    let log = host.log(domain(5), "qemu");
    log.ask();
    log.ready();
    log.remove();
    nothing_is_left_of(&log, &mut host, before);
}
