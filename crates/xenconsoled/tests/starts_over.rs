//! Domain ids, names, files and pipes are used again: each log gets its own bytes, in order, and no file has two writers.

mod host;

use std::fs;
use std::io::Write;

use host::{Host, StoreKind, domain, fifo, has_reader, numbered, on_every_store, until};
use logproto::{Code, Owner};

/// No deadline that a test could meet.
const PATIENT: &str = "[daemon]\ndrain-seconds = 86400";

on_every_store! {
    a_domain_id_used_again_gets_its_file_after_the_old_bytes
    a_client_that_asks_again_is_answered_again
    a_file_has_one_log_at_a_time
}

/// Everything of the old domain goes and everything of the new one comes in one transaction: to the daemon it looks as if
/// nothing but `state` had gone.
fn a_domain_id_used_again_gets_its_file_after_the_old_bytes(kind: StoreKind) {
    let mut host = Host::on(kind, PATIENT);
    let log = host.log(domain(5), "qemu");
    let mut old = log.open();
    let old_fifo = host.run_dir().join("kept");
    for round in 0..5 {
        let at = round * 200;
        host.daemon().halt();
        old.write_all(numbered(at..at + 100).as_bytes()).unwrap();
        fs::rename(&log.pipe, &old_fifo).unwrap();
        fifo(&log.pipe);
        host.client()
            .transaction(|tx| {
                tx.rm("/libxl/5")?;
                log.nodes.iter().try_for_each(|(node, value)| tx.write(&log.at(node), value))
            })
            .unwrap();
        host.daemon().go_on();
        log.ready();
        let mut new = log.end();
        new.write_all(numbered(at + 100..at + 200).as_bytes()).unwrap();
        log.holds(numbered(0..at + 200));
        // The old writer is still there, and nobody listens to it any more.
        assert!(!host.daemon().descriptors().contains(&old_fifo));
        old.write_all(b"from the grave\n").unwrap();
        fs::remove_file(&old_fifo).unwrap();
        old = new;
    }
    host.barrier();
    log.holds(numbered(0..1000));
}

/// Often, since it depends on the moment: an event that came between the commit of an answer and its reply was not taken for the
/// client's asking again, and that was never answered.
fn a_client_that_asks_again_is_answered_again(kind: StoreKind) {
    const ROUNDS: u32 = 500;
    let host = Host::on(kind, "");
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    for round in 0..ROUNDS {
        end.write_all(numbered(round..round + 1).as_bytes()).unwrap();
        log.forget_answer();
        log.ready();
    }
    // The very same entry, removed and written again.
    let mut client = host.client();
    client
        .transaction(|tx| {
            tx.rm(&log.path)?;
            log.nodes.iter().try_for_each(|(node, value)| tx.write(&log.at(node), value))
        })
        .unwrap();
    log.ready();
    end.write_all(numbered(ROUNDS..ROUNDS + 1).as_bytes()).unwrap();
    log.holds(numbered(0..ROUNDS + 1));
}

fn a_file_has_one_log_at_a_time(kind: StoreKind) {
    let mut host = Host::on(kind, PATIENT);
    let holder = host.log(domain(5), "qemu").copies(3);
    let mut old = holder.open();
    let rival = host.log(domain(6), "qemu").copies(3).file(&holder.file);
    rival.ask();
    let text = rival.refused(Code::InUse);
    assert!(text.starts_with("/libxl/6/logging/qemu/file: ") && text.contains("/libxl/5/logging/qemu"), "{text}");
    assert!(!has_reader(&rival.pipe));
    old.write_all(b"undisturbed\n").unwrap();
    holder.holds("undisturbed\n");
    // The holder's domain goes, but somebody keeps its pipe open: the file is free all the same.
    host.daemon().halt();
    old.write_all(b"the last line of domain 5\n").unwrap();
    holder.remove();
    rival.forget_answer();
    host.daemon().go_on();
    rival.ready();
    let mut new = rival.end();
    old.write_all(b"from the grave\n").unwrap();
    new.write_all(b"the first line of domain 6\n").unwrap();
    rival.holds("undisturbed\nthe last line of domain 5\nthe first line of domain 6\n");
    holder.closed_pipe(host.daemon());
}

#[test]
fn a_name_that_a_rotation_needs_is_taken_too() {
    let host = Host::start();
    let holder = host.log(domain(5), "qemu").limit(4096).copies(3);
    let mut end = holder.open();
    end.write_all(numbered(0..1024).as_bytes()).unwrap();
    holder.holds(numbered(0..1024));
    let copy = |number: u32| holder.file.with_extension(format!("log.{number}"));
    let on_a_copy = host.log(domain(6), "copy").copies(0).file(copy(3));
    on_a_copy.ask();
    assert!(on_a_copy.refused(Code::InUse).contains("/libxl/6/logging/copy/file: "));
    // A copy of the newcomer would be the holder's file.
    let base = host.log(domain(6), "base").copies(1).file(holder.file.with_extension(""));
    base.ask();
    base.ready();
    let taken = host.log(Owner::Host, "taken").copies(0).file(base.file.with_extension("1"));
    taken.ask();
    taken.refused(Code::InUse);
    let free = host.log(domain(6), "free").copies(0).file(copy(4));
    free.ask();
    free.ready();
    // And a log that runs cannot have more copies than there are free names.
    holder.set("copies", "4");
    holder.forget_answer();
    assert!(holder.refused(Code::InUse).contains("/libxl/6/logging/free"));
    assert_eq!(holder.content(), numbered(0..1024).as_bytes());
}

/// Its toolstack was restarted and made the pipe anew, and did not take the daemon's answer away.
#[test]
fn a_fifo_replaced_under_an_answered_entry_is_taken_up() {
    let host = Host::configured(PATIENT);
    let log = host.log(domain(5), "qemu");
    let mut old = log.open();
    old.write_all(b"old\n").unwrap();
    fs::remove_file(&log.pipe).unwrap();
    fifo(&log.pipe);
    log.write();
    until("a reader of the new FIFO", || has_reader(&log.pipe).then_some(()));
    let mut new = log.end();
    new.write_all(b"new\n").unwrap();
    log.holds("old\nnew\n");
}

/// A client that starts over removes its entry first, and writes it again for the same pipe a moment later.
#[test]
fn the_same_pipe_may_be_asked_for_again_after_its_entry_went() {
    let host = Host::configured(PATIENT);
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    for round in 0..20 {
        end.write_all(numbered(round * 2..round * 2 + 1).as_bytes()).unwrap();
        log.remove();
        if round % 2 == 0 {
            host.barrier();
        }
        log.write();
        log.ready();
        assert!(has_reader(&log.pipe));
        end.write_all(numbered(round * 2 + 1..round * 2 + 2).as_bytes()).unwrap();
        log.holds(numbered(0..round * 2 + 2));
    }
}

/// The same pipe into another file: the bytes of before are in the one, those of after in the other.
#[test]
fn a_log_may_move_to_another_file() {
    let host = Host::configured(PATIENT);
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(b"here\n").unwrap();
    log.holds("here\n");
    let moved = log.clone().file(host.log_dir().join("there.log"));
    moved.set("file", moved.file.to_str().unwrap());
    until("the other file", || moved.file.exists().then_some(()));
    moved.forget_answer();
    moved.ready();
    end.write_all(b"there\n").unwrap();
    moved.holds("there\n");
    log.holds("here\n");
}

/// Its entry was removed and comes back with another file, while the pipe was read on.
#[test]
fn a_pipe_never_has_two_readers() {
    let host = Host::configured(PATIENT);
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    log.remove();
    host.barrier();
    let again = log.clone().file(host.log_dir().join("again.log"));
    again.write();
    again.ready();
    for line in 0..100 {
        end.write_all(numbered(line..line + 1).as_bytes()).unwrap();
        again.holds(numbered(0..line + 1));
    }
    assert_eq!(log.content(), b"");
    // And two entries cannot share it.
    let thief = host.log(domain(6), "qemu").pipe(&log.pipe);
    thief.write();
    assert!(thief.refused(Code::InUse).starts_with("/libxl/6/logging/qemu/pipe: "));
}
