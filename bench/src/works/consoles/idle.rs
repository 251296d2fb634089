//! What consoles hold that say nothing.

use crate::Values;
use crate::host::{Host, Which};

pub fn show(daemons: &[Which], values: &Values) {
    let guests: u16 = values.get("guests", 500);
    for which in daemons {
        let [none, all] = [0, guests].map(|guests| {
            let host = Host::start(*which, guests);
            let [mapped, files] = host.memory();
            [mapped, files, host.descriptors().len() as f64]
        });
        let name = which.name();
        for (what, (none, all)) in ["KiB mapped", "KiB in memfds", "descriptors"].iter().zip(none.iter().zip(all)) {
            let each = (all - none) / f64::from(guests);
            println!(
                "{guests} guests, {name:>5}: {none:>7.0} {what} without guests, {all:>7.0} with, {each:.2} for each"
            );
        }
    }
}
