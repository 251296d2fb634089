//! Each guest writes so many bytes, as fast as it is let.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::host::{Host, Which, text};
use crate::{Values, compare};

pub fn show(daemons: &[Which], values: &Values) {
    let guests: u16 = values.get("guests", 1);
    let bytes: usize = values.get("bytes", 500_000);
    let rounds: usize = values.get("rounds", 3);
    let text = text(bytes * rounds);
    let hosts: Vec<Host> = daemons.iter().map(|which| Host::start(*which, guests)).collect();
    hosts.iter().for_each(Host::spare);
    let [mut per_byte, mut per_event] = [BTreeMap::new(), BTreeMap::new()];
    for round in 0..rounds {
        for host in &hosts {
            let (cpu, events, start) = (host.cpu(), host.events(), Instant::now());
            write(host, &text[..bytes * (round + 1)], bytes * round);
            host.logged(bytes * (round + 1));
            let (cpu, events, time) = (host.cpu() - cpu, host.events() - events, start.elapsed());
            let total = bytes as f64 * f64::from(guests);
            println!(
                "{} guests, {:>5}: {total} bytes, {events} events, {} ms of CPU in {} ms",
                guests,
                host.which().name(),
                cpu.as_millis(),
                time.as_millis()
            );
            per_byte.entry(host.which()).or_insert_with(Vec::new).push(cpu.as_nanos() as f64 / total);
            per_event.entry(host.which()).or_insert_with(Vec::new).push(cpu.as_micros() as f64 / events as f64);
        }
    }
    hosts.iter().for_each(|host| host.check(&text));
    compare(&format!("{guests} guests, ns per byte"), &per_byte);
    compare(&format!("{guests} guests, µs per event"), &per_event);
}

/// Each guest writes `text` from here to its end, in pieces for which there is room, with an event for each.
fn write(host: &Host, text: &[u8], from: usize) {
    let mut written: Vec<usize> = vec![from; host.guests().len()];
    loop {
        let (mut moved, mut done) = (false, true);
        for (guest, written) in host.guests().iter().zip(&mut written) {
            if *written < text.len() {
                let count = guest.put_silently(&text[*written..]);
                if count > 0 {
                    guest.kick();
                }
                *written += count;
                moved |= count > 0;
                done &= *written == text.len();
            }
        }
        if done {
            return;
        }
        if !moved {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}
