//! `xenlog try`: the whole thing on a machine without Xen, in a directory of its own.

mod daemon;
mod host;
mod programs;
mod show;

use std::time::{Duration, Instant};

pub use daemon::Leashed;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Failure;
use crate::signals::Signals;
use host::Host;
use programs::Programs;
use show::Screen;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// See it at work without Xen: a store, the daemon and a few programs, one of which writes without end
///
/// Everything is in a new directory below TMPDIR, which stays there to be looked at. Nothing else is touched, and no
/// root is needed.
#[derive(Debug, clap::Args)]
pub struct Try {
    /// Leave the store and the daemon running until ^C, to try the other commands on
    #[arg(long)]
    keep: bool,
    /// How long the programs write
    #[arg(long, value_name = "N", default_value_t = 8)]
    seconds: u64,
}

/// Runs it all, and ends what it started.
pub fn run(options: &Try) -> Result<(), Failure> {
    let signals = Signals::take(&[SIGINT, SIGTERM, SIGHUP]).map_err(Failure::system("signals"))?;
    let mut host = Host::start(&signals)?;
    let mut screen = Screen::new(host.dir());
    screen.begin().map_err(Failure::Output)?;
    let mut programs = Programs::start(&host.places, &signals)?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut is_stopped = false;
    while !is_stopped && Instant::now() < end {
        is_stopped = signals.is_any(LOOK);
        programs.look();
        screen.show(&programs).map_err(Failure::Output)?;
        host.check()?;
    }
    if options.keep && !is_stopped {
        programs.rest();
        screen.keep(&host.places).map_err(Failure::Output)?;
        while !signals.is_any(Duration::from_secs(1)) {
            programs.look();
            host.check()?;
        }
    }
    let programs = programs.end()?;
    host.stop()?;
    screen.end(&programs).map_err(Failure::Output)?;
    match programs.all.iter().find(|program| program.most > program.bound) {
        Some(program) => Err(Failure::Named(format!("{}: its log took more than its bound", program.name))),
        None => Ok(()),
    }
}
