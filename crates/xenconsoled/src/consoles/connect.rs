//! How a console comes to its ring and its event channel, and how it is noticed that it needs others.

use std::io;

use xen_sys::xen::Page;

use super::console::{Link, Mapped};
use super::{Consoles, World};
use crate::key::{ConsoleKey, Kind};

/// The grant that is reserved for the primary console (`GNTTAB_RESERVED_CONSOLE`, xen/include/public/grant_table.h).
const RESERVED: u32 = 0;

/// What could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The ring.
    #[error("its ring cannot be mapped: {frame} (by ring-ref {ring_ref}){grant}")]
    Map {
        /// The number of its frame.
        ring_ref: u64,
        /// The answer to that.
        frame: io::Error,
        /// The answer to the grant, if that was tried.
        grant: String,
    },
    /// The event channel.
    #[error("its port {port} cannot be bound: {why}")]
    Bind {
        /// The guest's port.
        port: u32,
        /// The answer.
        why: io::Error,
    },
}

impl Consoles {
    /// Sees to it that a console has the ring and the event channel that its nodes say. `None`: it has. Else a new link, and the
    /// old one is gone; so it is with an error.
    pub(super) fn connect(
        &mut self,
        key: ConsoleKey,
        ring_ref: u64,
        remote: u32,
        io: &mut World<'_>,
    ) -> Result<Option<Link>, ConnectError> {
        let domid = key.domid.number();
        let old = self.consoles.get(&key).and_then(|console| console.link());
        let mut bound = None;
        if let Some(link) = old
            && link.remote() == remote
            && [Mapped::Grant, Mapped::Frame(ring_ref)].contains(&link.mapped())
        {
            // Only one can have the guest's port. If it can be bound, ours is not bound any more: so it is after a suspend that was
            // cancelled, and where the number is another domain's by now.
            match self.events.bind_interdomain(domid, remote) {
                Err(_) => return Ok(None),
                Ok(local) => bound = Some(local),
            }
        }
        // What the guest wrote last may be in this page alone. Whoever waits goes on to wait: mostly it is the same page again. A pty
        // that is broken is found at its next use.
        if let Some(console) = self.consoles.get_mut(&key) {
            let _ = console.take(&mut io.io(self.manner, &self.events), false);
        }
        // Before another is mapped: a domain that is gone stays half alive as long as a page of it is mapped.
        if let Some(link) = self.consoles.get_mut(&key).and_then(|console| console.set_link(None)) {
            self.by_port.remove(&link.local());
            let _ = self.events.unbind(link.local());
        }
        let unbind = |local: Option<u32>| local.map(|local| self.events.unbind(local));
        let (page, mapped) = self.map(key, ring_ref).inspect_err(|_| drop(unbind(bound)))?;
        let local = match bound {
            Some(local) => local,
            None => {
                self.events.bind_interdomain(domid, remote).map_err(|why| ConnectError::Bind { port: remote, why })?
            }
        };
        Ok(Some(Link::new(page, mapped, local, remote)))
    }

    fn map(&self, key: ConsoleKey, ring_ref: u64) -> Result<(Page, Mapped), ConnectError> {
        let domid = key.domid.number();
        let mut tried = String::new();
        if key.kind == Kind::Pv {
            match self.memory.map_grant(domid, RESERVED) {
                Ok(page) => return Ok((page, Mapped::Grant)),
                Err(why) => tried = format!(", {why} (by grant {RESERVED})"),
            }
        }
        match self.memory.map_foreign(domid, ring_ref) {
            Ok(page) => Ok((page, Mapped::Frame(ring_ref))),
            Err(frame) => Err(ConnectError::Map { ring_ref, frame, grant: tried }),
        }
    }
}
