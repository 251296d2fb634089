//! How soon a guest's answer to a key is seen, alone and beside a guest that attacks.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use testbed::{Guest, Index};

use super::consoles::host::{Daemon, Host, LINE, text};
use super::{Failure, Plan, Work};
use crate::figure::Figure;

/// Attacks.
pub const WORK: Work = Work {
    id: "hostile",
    title: "from a key that is typed until the guest's answer to it is seen, alone and beside a guest that attacks",
    run,
};

/// How long each attack lasts. Ten minutes and more show what grows (`--seconds`).
const TIME: u64 = 3;
/// Alone nothing changes with time.
const ALONE: u64 = 60;
/// Between two keys: so slow that the guest's events are not so many that it is held back.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the guest looks for a key.
const LOOK: Duration = Duration::from_micros(30);
/// How often an attack goes on.
const TURN: Duration = Duration::from_micros(200);

const ATTACKS: [&str; 6] = ["none", "indices", "events", "flood", "store", "all"];

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let hosts = Daemon::all(plan).iter().map(|daemon| Host::start(plan, daemon, 2)).collect::<Result<Vec<_>, _>>()?;
    for attack in ATTACKS {
        for host in &hosts {
            let seconds = plan.seconds.unwrap_or(plan.much(TIME, 1));
            let time = Duration::from_secs(if attack == "none" { seconds.min(ALONE) } else { seconds });
            let (cpu, start) = (host.cpu(), Instant::now());
            let mut times = measure(host, attack, time);
            let share = (host.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
            times.sort();
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
            let peer = host.daemon().name;
            let measured =
                [("p50", "µs", at(0.5)), ("p99", "µs", at(0.99)), ("most", "µs", at(1.0)), ("cpu", "%", share * 100.0)];
            let told = measured.map(|(measure, unit, value)| format!("{measure} {value:.1} {unit}")).join(", ");
            println!("hostile {attack:<8} {peer:<10} {} keys, {told}", times.len());
            for (measure, unit, value) in measured {
                sink(Figure { work: WORK.id, case: attack.to_owned(), peer, round: 1, measure, unit, value });
            }
        }
    }
    Ok(())
}

fn measure(host: &Host, attack: &str, time: Duration) -> Vec<Duration> {
    let is_over = AtomicBool::new(false);
    let [polite, hostile] = host.guests() else { unreachable!("two guests") };
    std::thread::scope(|threads| {
        threads.spawn(|| echo(polite, &is_over));
        let all = attack == "all";
        for (name, act) in [("indices", indices as fn(&Guest, &AtomicBool)), ("events", events), ("flood", flood)] {
            if all || attack == name {
                let is_over = &is_over;
                threads.spawn(move || act(hostile, is_over));
            }
        }
        if all || attack == "store" {
            threads.spawn(|| rewrite(host, hostile, &is_over));
        }
        let times = keys(&host.tty(polite.domid()), time);
        is_over.store(true, Ordering::Relaxed);
        times
    })
}

/// Types key after key, and takes the time until each is seen.
fn keys(tty: &str, time: Duration) -> Vec<Duration> {
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let mut tty = File::options().read(true).write(true).custom_flags(flags).open(tty).expect("a tty");
    let (mut times, end) = (Vec::new(), Instant::now() + time);
    while Instant::now() < end {
        let start = Instant::now();
        tty.write_all(b"k").expect("a key that is typed");
        let mut seen = [0];
        tty.read_exact(&mut seen).expect("a key that is seen");
        assert_eq!(seen, *b"k");
        times.push(start.elapsed());
        std::thread::sleep(PAUSE);
    }
    times
}

fn echo(guest: &Guest, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        if guest.index(Index::InProd) != guest.index(Index::InCons) {
            guest.write(guest.take());
        }
        std::thread::sleep(LOOK);
    }
}

/// Impossible indices, each with an event.
fn indices(guest: &Guest, is_over: &AtomicBool) {
    let before =
        [Index::InCons, Index::InProd, Index::OutCons, Index::OutProd].map(|index| (index, guest.index(index)));
    let mut value: u32 = 1;
    while !is_over.load(Ordering::Relaxed) {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        guest.set_index(Index::OutProd, value);
        guest.set_index(Index::InCons, value.rotate_left(7));
        guest.set_index(Index::OutCons, value.rotate_left(13));
        guest.kick();
        std::thread::sleep(TURN);
    }
    // What comes next begins with a ring that can be.
    before.into_iter().for_each(|(index, value)| guest.set_index(index, value));
}

/// Events for nothing.
fn events(guest: &Guest, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..50 {
            guest.kick();
        }
        std::thread::sleep(TURN);
    }
}

/// As much output as is taken.
fn flood(guest: &Guest, is_over: &AtomicBool) {
    let text = text(64 * LINE);
    while !is_over.load(Ordering::Relaxed) {
        guest.put(&text);
        std::thread::sleep(TURN);
    }
}

/// A node that is its own, written again and again: whoever watches the console hears of it.
fn rewrite(host: &Host, guest: &Guest, is_over: &AtomicBool) {
    let mut client = host.machine().client();
    let path = format!("/local/domain/{}/console/backend-id", guest.domid());
    while !is_over.load(Ordering::Relaxed) {
        client.write(&path, b"0").expect("a node that is written");
        std::thread::sleep(TURN);
    }
}
