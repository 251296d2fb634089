//! What a log has in the world besides its write end.

use std::time::Instant;

use logproto::EntryKey;
use xenstore::Address;

use crate::connect::connect_until;
use crate::fifo::Fifo;
use crate::{CLEAN_UP, Error, entry};

/// An entry that was answered, and its FIFO. Dropping it removes both.
#[derive(Debug)]
pub(crate) struct Held {
    key: EntryKey,
    store: Vec<Address>,
    /// `None` once it is over.
    fifo: Option<Fifo>,
}

impl Held {
    pub(crate) fn new(key: EntryKey, fifo: Fifo, store: Vec<Address>) -> Held {
        Held { key, store, fifo: Some(fifo) }
    }

    pub(crate) fn key(&self) -> &EntryKey {
        &self.key
    }

    /// The FIFO; never `None` as long as the value is there to be asked.
    pub(crate) fn fifo(&self) -> Option<&Fifo> {
        self.fifo.as_ref()
    }

    /// Removes both, within [`CLEAN_UP`].
    pub(crate) fn end(mut self) -> Result<(), Error> {
        self.remove()
    }

    /// Leaves both.
    pub(crate) fn leave(mut self) {
        if let Some(fifo) = self.fifo.take() {
            fifo.leave();
        }
    }

    fn remove(&mut self) -> Result<(), Error> {
        // The FIFO goes with its value, however this ends.
        let Some(fifo) = self.fifo.take() else {
            return Ok(());
        };
        let deadline = Instant::now() + CLEAN_UP;
        let mut connection = connect_until(&self.store, deadline)?;
        Ok(entry::remove(&mut connection, &self.key, fifo.path(), deadline)?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // An entry that cannot be removed is seen by `xenlog list`; there is nobody to tell here.
        let _ = self.remove();
    }
}
