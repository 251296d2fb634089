//! One domain can have so many logs, the host so many, and all together so many; who asks for more is told, and costs the others
//! nothing.

mod host;

use std::io::Write;

use host::{Crowd, Host, Log, StoreKind, domain, has_reader, numbered, on_every_store, until};
use logproto::{Code, Owner, State};

on_every_store! {
    each_owner_has_its_share_and_all_have_a_sum
}

const FEW: &str = "[bounds]\nlogs-per-domain = 3\nlogs-of-host = 2\nlogs = 6";

fn served(host: &Host, owner: Owner, id: &str) -> Log {
    let log = host.log(owner, id);
    log.ask();
    log.ready();
    log
}

fn each_owner_has_its_share_and_all_have_a_sum(kind: StoreKind) {
    let mut host = Host::on(kind, FEW);
    let refused = |host: &Host, owner, id: &str| {
        let log = host.log(owner, id);
        host::fifo(&log.pipe);
        let before = host.snapshot();
        log.write();
        let text = log.refused(Code::TooMany);
        assert!(text.starts_with(&format!("{}: ", log.path)), "{text}");
        assert!(host.snapshot() == before && !has_reader(&log.pipe));
        log
    };
    let mut of_5: Vec<Log> = ["a", "b", "c"].iter().map(|id| served(&host, domain(5), id)).collect();
    let more = refused(&host, domain(5), "d");
    served(&host, Owner::Host, "a");
    served(&host, Owner::Host, "b");
    refused(&host, Owner::Host, "c");
    served(&host, domain(6), "a");
    let last = refused(&host, domain(7), "a");
    // What is refused does not count, and what ends makes room.
    let gone = of_5.pop().unwrap();
    gone.remove();
    gone.closed(host.daemon());
    more.forget_answer();
    more.ready();
    last.forget_answer();
    last.refused(Code::TooMany);
    more.remove();
    more.closed(host.daemon());
    last.forget_answer();
    last.ready();
}

/// All written at once: the first 64 are served, the others told, and the daemon has time for others all along.
#[test]
fn ten_thousand_logs_of_one_domain_are_refused_one_by_one() {
    let mut host = Host::start();
    let other = host.log(domain(6), "qemu");
    let mut end = other.open();
    let logs: Vec<Log> = (0..10_000).map(|number| host.log(domain(5), &format!("a{number}"))).collect();
    let mut crowd = Crowd::new(&host.store.address());
    logs.iter().for_each(|log| host::fifo(&log.pipe));
    crowd.write(&logs);
    end.write_all(b"another domain's log goes on\n").unwrap();
    other.holds("another domain's log goes on\n");
    let new = host.log(domain(7), "qemu");
    let mut new_end = new.open();
    new_end.write_all(b"and a new one is served\n").unwrap();
    new.holds("and a new one is served\n");
    // Asking for all of them all the time would keep the store from anything else. They are taken by name, so these are milestones.
    let mut by_name: Vec<&Log> = logs.iter().collect();
    by_name.sort_unstable_by_key(|log| &log.path);
    by_name.iter().step_by(250).for_each(|log| drop(log.answer()));
    let states = until("all answers", || crowd.read(&logs, "state").into_iter().collect::<Option<Vec<_>>>());
    let errors = crowd.read(&logs, "error");
    let mut served = Vec::new();
    for ((log, state), error) in logs.iter().zip(states).zip(errors) {
        match State::read(Some(&state), error.as_deref()) {
            Some(State::Ready) => served.push(log),
            Some(State::Error(refusal)) if refusal.code == Code::TooMany => {}
            other => panic!("{}: {other:?}", log.path),
        }
    }
    assert_eq!(served.len(), 64);
    for log in served {
        let mut end = log.end();
        end.write_all(numbered(0..1).as_bytes()).unwrap();
        log.holds(numbered(0..1));
    }
    let mut client = host.client();
    client.rm("/libxl/5").unwrap();
    host.barrier();
    assert!(client.directory("/libxl/5").is_err());
    assert_eq!(host.daemon().reports().len(), 1, "nobody fills the daemon's own log");
}
