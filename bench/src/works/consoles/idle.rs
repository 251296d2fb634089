//! What consoles hold that say nothing.

use super::host::Host;
use super::tell;
use crate::figure::Figure;
use crate::works::{Failure, Plan};

/// Measures hosts that were just started, each beside one with the same daemon and no guest.
pub fn measure(plan: Plan, hosts: &[Host], sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    for host in hosts {
        let (with, without) = (held(host)?, held(&Host::start(plan, host.daemon(), 0)?)?);
        let guests = host.guests().len();
        let each = |number: usize| (with[number] - without[number]) / guests as f64;
        let measured = [("pss", "KiB", each(0)), ("in memfds", "KiB", each(1)), ("descriptors", "", each(2))];
        tell(host, &format!("idle, each of {guests} guests"), 1, &measured, sink);
    }
    Ok(())
}

/// Its share of what it has mapped, what is in files without a name, and descriptors.
fn held(host: &Host) -> Result<[f64; 3], Failure> {
    Ok([host.processes().pss()? as f64, host.unnamed()?, host.processes().descriptors()? as f64])
}
