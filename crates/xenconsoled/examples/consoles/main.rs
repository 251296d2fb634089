//! What guests' consoles cost: this daemon beside Xen's own, on a hypervisor without Xen, the same work in turns.
//!
//! ```text
//! cargo build --release -p xenconsoled --bins --examples && target/release/examples/consoles FIGURE [NAME=VALUE]…
//! ```
//!
//! | figure | what | values |
//! |---|---|---|
//! | `flood` | each guest writes so many bytes, as fast as it is let | `guests` `bytes` `rounds` |
//! | `lines` | guests write single lines in turn, as many in a second as `rate` says, but none more than 100 | `guests` `rate` `seconds` `rounds` |
//! | `hostile` | how soon a guest's answer to a key is seen, alone and beside a guest that attacks | `attack` `seconds` `rounds` |
//! | `idle` | memory and descriptors of consoles that say nothing | `guests` |
//!
//! `daemon=stock` or `daemon=ours` measures that one alone. The daemon is the one beside the example's directory, so its build is
//! measured. What it costs is the time that its threads had a processor (/proc/PID/task/*/schedstat), with what they did in the
//! stand-in for Xen's libraries. All logs are compared with what the guests wrote: a byte that is missing ends the program.

mod flood;
mod host;
mod hostile;
mod idle;
mod lines;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

use host::Which;

/// What the command line says.
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// A number, or what stands for it where there is none.
    ///
    /// # Panics
    /// If it is none.
    pub fn get<T: FromStr>(&self, name: &str, other: T) -> T {
        let Some(value) = self.0.get(name) else { return other };
        value.parse().unwrap_or_else(|_| panic!("{name}={value}: makes no sense"))
    }

    /// Which daemons are measured.
    fn daemons(&self) -> Vec<Which> {
        let named = self.0.get("daemon").map(String::as_str);
        [Which::Stock, Which::Ours].into_iter().filter(|which| named.is_none_or(|name| name == which.name())).collect()
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let figure = arguments.next().unwrap_or_default();
    let values = arguments.filter_map(|word| word.split_once('=').map(|(name, value)| (name.into(), value.into())));
    let values = Values(values.collect());
    if !testbed::StoreKind::C.available() || !testbed::programs::installed(&["xenconsoled"]) {
        return ExitCode::FAILURE;
    }
    host::raise_limits();
    let daemons = values.daemons();
    match figure.as_str() {
        "flood" => flood::show(&daemons, &values),
        "lines" => lines::show(&daemons, &values),
        "hostile" => hostile::show(&daemons, &values),
        "idle" => idle::show(&daemons, &values),
        other => {
            eprintln!("consoles: \"{other}\": not one of flood, lines, hostile, idle");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The middle one; of an even number the lower of two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// Shows what was measured of each daemon in each round, the medians, and how many times as much the first is as the second.
pub fn compare(what: &str, measured: &BTreeMap<Which, Vec<f64>>) {
    let medians: Vec<f64> = measured.values().cloned().map(median).collect();
    for ((which, values), median) in measured.iter().zip(&medians) {
        let values: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
        println!("{what}, {:>5}: {median:>9.2}   ({})", which.name(), values.join(" "));
    }
    if let [stock, ours] = medians[..] {
        println!("{what}: stock / ours = {:.2}", stock / ours);
    }
}
