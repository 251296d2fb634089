//! Each guest writes so many bytes, as fast as it is let.

use std::time::Duration;

use super::host::Host;
use crate::turns::Measured;
use crate::works::Failure;

/// One round of one host.
pub fn measure(host: &mut Host, text: &[u8], bytes: usize) -> Result<Measured, Failure> {
    let from = host.written();
    let (cpu, events) = (host.cpu(), host.events());
    write(host, &text[from..from + bytes]);
    host.logged(bytes)?;
    let (cpu, events) = ((host.cpu() - cpu).as_secs_f64(), host.events() - events);
    let total = bytes as f64 * host.guests().len() as f64;
    Ok(vec![("cpu a byte", "ns", cpu * 1e9 / total), ("cpu an event", "µs", cpu * 1e6 / events as f64)])
}

/// Each guest writes the text in pieces for which there is room, with an event for each.
fn write(host: &Host, text: &[u8]) {
    let mut written = vec![0; host.guests().len()];
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
