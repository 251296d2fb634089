//! What a log costs: two descriptors, and nothing at all while nobody writes.

mod host;

use std::fs::File;
use std::io::Write;

use host::{Host, Log, domain};

#[test]
fn a_log_costs_two_descriptors() {
    let mut host = Host::start();
    let before = host.descriptors();
    let logs: Vec<Log> =
        (0..50).map(|number| host.log(domain(5), &format!("a{number}")).limit(4096).copies(1)).collect();
    let ends: Vec<File> = logs.iter().map(Log::open).collect();
    assert_eq!(host.descriptors(), before + 2 * logs.len());
    // Writing and rotating cost none.
    for (log, mut end) in logs.iter().zip(&ends) {
        end.write_all(&[b'x'; 10_000]).unwrap();
        host::until("the last bytes", || (log.sizes().len() == 2).then_some(()));
    }
    assert_eq!(host.descriptors(), before + 2 * logs.len());
    drop(ends);
    logs.iter().for_each(Log::remove);
    logs.iter().for_each(|log| log.closed(host.daemon()));
    assert_eq!(host.descriptors(), before);
}

#[test]
fn idle_logs_cost_no_time() {
    let mut host = Host::start();
    let logs: Vec<Log> = (0..60).map(|number| host.log(domain(5), &format!("a{number}"))).collect();
    // Some with a writer, some without, some that never had one.
    let mut ends: Vec<File> = logs[..40].iter().map(Log::open).collect();
    ends.truncate(20);
    logs[40..].iter().for_each(|log| {
        log.ask();
        log.ready();
    });
    host.daemon().rests();
    for end in &mut ends {
        end.write_all(b"line\n").unwrap();
    }
    logs[..20].iter().for_each(|log| log.holds("line\n"));
    host.daemon().rests();
}
