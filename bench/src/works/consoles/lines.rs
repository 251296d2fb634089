//! Guests write single lines, one after the other: what an event costs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::host::{Host, LINE, Which, text};
use crate::{Values, compare};

/// Lines of one guest in a second at most: a guest with more events than 150 in a second is held back by both daemons.
const MOST: u32 = 100;

pub fn show(daemons: &[Which], values: &Values) {
    let guests: u16 = values.get("guests", 1);
    let rate = values.get("rate", 2000).min(u32::from(guests) * MOST);
    let seconds: u32 = values.get("seconds", 3);
    let rounds: usize = values.get("rounds", 3);
    // Of each guest in each round.
    let lines = (rate * seconds).div_ceil(guests.into()) as usize;
    let text = text(lines * rounds * LINE);
    let hosts: Vec<Host> = daemons.iter().map(|which| Host::start(*which, guests)).collect();
    hosts.iter().for_each(Host::spare);
    let mut per_event = BTreeMap::new();
    for round in 0..rounds {
        for host in &hosts {
            let (cpu, events) = (host.cpu(), host.events());
            let mut due = Instant::now();
            for line in text[lines * LINE * round..].chunks(LINE).take(lines) {
                for guest in host.guests() {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    guest.write(line);
                    // What comes late is not caught up with: that would be several lines for one event.
                    due = due.max(Instant::now()) + Duration::from_secs(1) / rate;
                }
            }
            host.logged(lines * LINE * (round + 1));
            let (cpu, events) = (host.cpu() - cpu, host.events() - events);
            println!("{guests} guests, {:>5}: {events} events, {} ms of CPU", host.which().name(), cpu.as_millis());
            per_event.entry(host.which()).or_insert_with(Vec::new).push(cpu.as_nanos() as f64 / events as f64 / 1e3);
        }
    }
    hosts.iter().for_each(|host| host.check(&text));
    compare(&format!("{guests} guests, {rate} lines/s, µs per event"), &per_event);
}
