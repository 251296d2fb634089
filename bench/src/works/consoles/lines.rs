//! Guests write single lines, one after the other: what an event costs.

use std::time::{Duration, Instant};

use super::host::{Host, LINE};
use crate::turns::Measured;
use crate::works::{Failure, Plan};

/// Lines in a second, of all guests.
const RATE: usize = 2000;
/// Lines of one guest in a second at most: a guest with more events than 150 in a second is held back by both daemons.
const MOST: usize = 100;

fn rate(guests: usize) -> usize {
    RATE.min(guests * MOST)
}

/// How many lines a guest writes in a round of a second, or of two where one is few of them.
fn lines(plan: Plan, guests: usize) -> usize {
    let seconds = if guests == 1 { plan.much(2, 1) } else { 1 };
    (rate(guests) * seconds).div_ceil(guests)
}

/// How many bytes a guest writes in a round.
pub fn bytes(plan: Plan, guests: u16) -> usize {
    lines(plan, guests.into()) * LINE
}

/// One round of one host.
pub fn measure(host: &mut Host, text: &[u8], plan: Plan) -> Result<Measured, Failure> {
    let (from, guests) = (host.written(), host.guests().len());
    let (lines, pause) = (lines(plan, guests), Duration::from_secs(1) / rate(guests) as u32);
    let (cpu, events) = (host.cpu(), host.events());
    let mut due = Instant::now();
    for line in text[from..].chunks(LINE).take(lines) {
        for guest in host.guests() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            guest.write(line);
            // What comes late is not caught up with: that would be several lines for one event.
            due = due.max(Instant::now()) + pause;
        }
    }
    host.logged(lines * LINE)?;
    let (cpu, events) = (host.cpu() - cpu, host.events() - events);
    Ok(vec![("cpu an event", "µs", cpu.as_secs_f64() * 1e6 / events as f64)])
}
