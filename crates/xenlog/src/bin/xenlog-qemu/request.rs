//! Asking for the log of a domain's QEMU, within bounds.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use logproto::{Code, LogId, Owner};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use xenlog::{Error, Log, OpenOptions};

use crate::arguments::{self, Domain};
use crate::settings::Settings;

/// The id of a device model's log: one a domain.
const ID: &str = "qemu-dm";
/// How often a file is asked for that another log still has.
const IN_USE_AGAIN: Duration = Duration::from_millis(100);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    /// The client's reason.
    #[error(transparent)]
    Asked(#[from] Error),
    /// The system's.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A log for this domain's QEMU. Nobody has to end it once this process has become QEMU: libxl removes the entry when
/// it destroys the domain, and the daemon then removes the FIFO.
///
/// A signal that ends QEMU ends this process too, and leaves nothing behind: the domain is being destroyed already.
pub fn open(domain: &Domain, settings: &Settings) -> Result<Log, NoLog> {
    let (read, write) = UnixStream::pair()?;
    let mut signals = SignalDelivery::with_pipe(read, write, SignalOnly, [SIGHUP, SIGINT, SIGTERM])?;
    let result = ask(domain, settings, &signals);
    let Some(signal) = signals.pending().next() else {
        return Ok(result?);
    };
    drop(result);
    signal_hook::low_level::emulate_default_handler(signal)?;
    Err(Error::Stopped.into())
}

fn ask(domain: &Domain, settings: &Settings, signals: &SignalDelivery<UnixStream, SignalOnly>) -> Result<Log, Error> {
    let until = Instant::now() + settings.wait;
    let id: LogId = ID.parse().expect("a constant that is an id");
    // A QEMU that went before, in a soft reset or a crashed toolstack's domain, may have left an entry of this id.
    let mut options = OpenOptions::new(Owner::Domain(domain.id), arguments::file_name(domain)).id(id).replace(true);
    if let Some(limit) = settings.limit {
        options = options.limit(limit);
    }
    if let Some(copies) = settings.copies {
        options = options.copies(copies);
    }
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match options.clone().wait(left).open_unless(signals.get_read().as_fd()) {
            // A domain that reboots has the name of the one before it, whose QEMU may still be writing its last lines.
            Err(Error::Refused(why)) if why.code == Code::InUse && Instant::now() + IN_USE_AGAIN < until => {
                thread::sleep(IN_USE_AGAIN);
            }
            result => return result,
        }
    }
}
