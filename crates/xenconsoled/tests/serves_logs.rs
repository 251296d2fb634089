//! An entry in the store is a served log: whoever asks gets an answer, and what goes into the pipe comes out in the file.

mod host;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use host::{Host, StoreKind, domain, has_reader, numbered, on_every_store};
use logproto::Owner;

on_every_store! {
    a_domain_and_the_host_have_logs
    a_client_of_the_draft_is_served
    half_an_entry_is_waited_for_however_it_is_written
}

fn a_domain_and_the_host_have_logs(kind: StoreKind) {
    let host = Host::on(kind, "");
    let logs = [host.log(domain(5), "qemu"), host.log(domain(5), "vnc"), host.log(Owner::Host, "xl")];
    let mut ends = logs.each_ref().map(host::Log::open);
    for round in 0..100 {
        for end in &mut ends {
            end.write_all(numbered(round * 10..round * 10 + 10).as_bytes()).unwrap();
        }
    }
    for log in &logs {
        log.holds(numbered(0..1000));
        assert_eq!(fs::metadata(&log.file).unwrap().permissions().mode() & 0o7777, 0o640);
    }
}

/// It writes `pipe` and `file` and nothing else, one after the other; it knows `ready` only; it opens the pipe for writing
/// only, and closes it when it is done.
fn a_client_of_the_draft_is_served(kind: StoreKind) {
    let host = Host::on(kind, "");
    let log = host.log(domain(7), "qemu");
    host::fifo(&log.pipe);
    for (node, value) in &log.nodes {
        log.set(node, value);
    }
    log.ready();
    let mut end = log.draft_end();
    end.write_all(b"one\n").unwrap();
    log.holds("one\n");
    drop(end);
    // Another program of the same domain goes on where the first one ended.
    log.draft_end().write_all(b"two\n").unwrap();
    log.holds("one\ntwo\n");
}

fn half_an_entry_is_waited_for_however_it_is_written(kind: StoreKind) {
    let host = Host::on(kind, "");
    for first in ["pipe", "file"] {
        let log = host.log(domain(5), first).limit(8192);
        host::fifo(&log.pipe);
        let (half, rest): (Vec<_>, Vec<_>) = log.nodes.iter().partition(|(node, _)| node == first);
        half.iter().for_each(|(node, value)| log.set(node, value));
        host.barrier();
        assert_eq!(log.state(), None);
        assert!(!log.file.exists() && !has_reader(&log.pipe));
        rest.iter().for_each(|(node, value)| log.set(node, value));
        log.ready();
    }
}

#[test]
fn a_file_that_is_there_is_appended_to() {
    let host = Host::start();
    let log = host.log(domain(5), "a");
    fs::write(&log.file, "from before\n").unwrap();
    log.open().write_all(b"from now on\n").unwrap();
    log.holds("from before\nfrom now on\n");
}

#[test]
fn logs_may_lie_in_directories_below() {
    let host = Host::start();
    let (log, run) = (host.log_dir().join("dom/5"), host.run_dir().join("qemu"));
    fs::create_dir_all(&log).unwrap();
    fs::create_dir(&run).unwrap();
    let log = host.log(domain(5), "a").file(log.join("q.log")).pipe(run.join("pipe"));
    log.open().write_all(b"line\n").unwrap();
    log.holds("line\n");
}

/// Every byte value arrives as it is, from writers that share a pipe as well: each write of up to PIPE_BUF bytes is whole.
#[test]
fn bytes_are_not_changed_and_writes_not_torn() {
    let host = Host::start();
    let log = host.log(domain(5), "a").limit(16 << 20);
    let mut end = log.open();
    end.write_all(&(0..=255).collect::<Vec<u8>>()).unwrap();
    end.write_all(b"\n").unwrap();
    log.holds((0..=255).chain(*b"\n").collect::<Vec<u8>>());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let mut end = log.end();
            std::thread::spawn(move || {
                (0..500).for_each(|line| end.write_all(format!("writer {writer} line {line}\n").as_bytes()).unwrap());
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    host::until("all lines", || (log.content().iter().filter(|byte| **byte == b'\n').count() == 2002).then_some(()));
    let content = log.content();
    let text = String::from_utf8_lossy(&content[257..]).into_owned();
    for writer in 0..4 {
        let prefix = format!("writer {writer} line ");
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        assert_eq!(lines, (0..500).map(|line| line.to_string()).collect::<Vec<_>>());
    }
}
