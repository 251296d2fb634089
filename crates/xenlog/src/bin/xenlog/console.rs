//! `xenlog console`: a guest's console, to type into or only to watch.

mod attach;
mod ending;
mod escape;
mod last;
mod node;
mod queue;
mod screen;
mod terminal;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use xenlog::Places;
use xenlog::console::{self, Domain, Kind, Lock, lock_dir};
use xenstore::Client;

use crate::failure::{self, Failure, say};
use crate::list::STORE_WAIT;
use crate::signals::Signals;
use ending::Ending;

/// Attach to a guest's console
///
/// One client at a time can type to a domain; with --read-only any number watch what is logged of its console.
#[derive(Debug, clap::Args)]
pub struct Console {
    /// Which terminal: pv, serial or vuart [default: serial where the domain has one, else pv]
    #[arg(short = 't', long = "type", value_name = "pv|serial|vuart")]
    kind: Option<Kind>,
    /// Which of these
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    num: u32,
    /// The character that ends it: a character, or ^ and one for a control character [default: ^], at a terminal]
    #[arg(short, long, value_name = "E", value_parser = escape::parse)]
    escape: Option<u8>,
    /// Watch the console's log; type nothing, and keep nobody from typing
    #[arg(long)]
    read_only: bool,
    /// How many of the last lines are shown first
    #[arg(long, value_name = "N", default_value_t = 10)]
    lines: u64,
    /// Where the lock files of consoles are, of the stock client too [default: XEN_LOCK_DIR, else /var/lock]
    #[arg(long, help_heading = "Places", value_name = "DIR")]
    xen_lock_dir: Option<PathBuf>,
    /// The number or name of a domain
    domain: String,
}

/// Attaches, until there is an end to it.
pub fn run(console: &Console, places: &Places) -> ExitCode {
    // All that has to be put back is, when this has come back.
    match try_run(console, places) {
        Ok(Ending::Signal(signal)) => {
            // Comes back only for a signal that this process was started to ignore; then it would not have come here.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            ExitCode::FAILURE
        }
        Ok(Ending::Gone(what)) => {
            say(format!("the {what} is gone"));
            ExitCode::SUCCESS
        }
        Ok(Ending::Escape | Ending::NoReader) => ExitCode::SUCCESS,
        Err(failure) => failure::code(Err(failure)),
    }
}

fn try_run(options: &Console, places: &Places) -> Result<Ending, Failure> {
    let mut store = Client::connect(&places.store, STORE_WAIT)?;
    let domain = Domain::find(&mut store, &options.domain)?;
    let console = match options.kind {
        Some(kind) => console::Console { domid: domain.domid, kind, number: options.num },
        None => console::Console::preferred(&mut store, domain.domid, options.num)?,
    };
    drop(store);
    let signals = Signals::take(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP]).map_err(Failure::system("signals"))?;
    if options.read_only {
        return watch::Watch::open(console, options.lines, options.escape, places, signals)?.run();
    }
    let _lock = Lock::take(&options.xen_lock_dir.clone().unwrap_or_else(lock_dir), domain.domid)?;
    attach::Attach::open(console, options.lines, options.escape, places, signals)?.run()
}
