//! One console: a guest's ring on one side, its log and its pty on the other.

use std::time::Instant;

use xen_sys::shared::Shared;
use xen_sys::xen::EventChannels;
use xenring::layout::{IN_SIZE, OUT_SIZE};
use xenring::{Ring, Taken};

use super::backlog::Backlog;
use super::pty::{Pty, PtyError};
use super::rate::Rate;
use crate::inlets::Inlets;
use crate::key::{ConsoleKey, Own};
use crate::logs::StreamId;

/// Of what waits for a reader, so many chunks are shown in one turn: others have theirs.
const CHUNKS: u32 = 16;

/// What a console writes its log with, and how it is to treat what it shows.
pub struct Io<'a> {
    /// All event channels.
    pub events: &'a EventChannels,
    /// The daemon's own logs.
    pub inlets: &'a mut Inlets,
    /// Makes room in a log's pipe, by dropping what is in it and counting that.
    pub make_room: &'a mut dyn FnMut(StreamId),
    /// The time.
    pub now: Instant,
    /// Whether escape characters are kept out of logs.
    pub replaces_escape: bool,
    /// Whether the guest waits when nobody reads the pty.
    pub keeps: bool,
}

/// How a ring came to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// By the grant that is reserved for it.
    Grant,
    /// By the number of its frame.
    Frame(u64),
}

/// A ring and its event channel.
#[derive(Debug)]
pub struct Link {
    page: Shared,
    ring: Ring,
    mapped: Mapped,
    local: u32,
    remote: u32,
}

impl Link {
    /// A ring that was mapped, and its port that was bound. Tells the guest that somebody is there.
    pub fn new(page: Shared, mapped: Mapped, local: u32, remote: u32) -> Link {
        let ring = Ring::attach(&page);
        ring.connect(&page);
        Link { page, ring, mapped, local, remote }
    }

    /// Our port.
    pub fn local(&self) -> u32 {
        self.local
    }

    /// The guest's port.
    pub fn remote(&self) -> u32 {
        self.remote
    }

    /// How the page is mapped.
    pub fn mapped(&self) -> Mapped {
        self.mapped
    }
}

/// Why nothing is taken from the guest now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Its log is being opened.
    Log,
    /// It is to wait for a reader of its pty.
    Reader,
}

/// What was counted, in bytes where nothing else is said, since this daemon serves the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written by the guest.
    pub out: u64,
    /// Typed to it.
    pub typed: u64,
    /// Times its events were held back.
    pub held: u64,
    /// Looks at a ring with impossible indices.
    pub corrupt: u64,
    /// Not even kept for a reader: there was no memory.
    pub lost: u64,
}

/// A console.
#[derive(Debug)]
pub struct Console {
    key: ConsoleKey,
    link: Option<Link>,
    /// None where there is none to be had, for now.
    pub pty: Option<Pty>,
    /// What waits for a reader.
    pub backlog: Backlog,
    /// Its events of late.
    pub rate: Rate,
    /// Whether its port stays masked until its time is over.
    pub is_held: bool,
    blocked: Option<Blocked>,
    /// Whether the pty may be told to clients: whoever keeps descriptors has it by now.
    pub is_safe: bool,
    /// Whether this pty was told to clients.
    pub is_published: bool,
    /// The domain's name, as it was when its log was last asked for.
    pub name: Option<Vec<u8>>,
    counts: Counts,
    /// Looks until it is known whose port was bound.
    to_confirm: u8,
}

/// One may have been under way when the port was bound.
const LOOKS: u8 = 2;

impl Console {
    /// A console with nothing on the guest's side yet.
    pub fn new(key: ConsoleKey, pty: Option<Pty>, backlog: Backlog) -> Console {
        Console {
            key,
            link: None,
            pty,
            backlog,
            rate: Rate::default(),
            is_held: false,
            blocked: None,
            is_safe: false,
            is_published: false,
            name: None,
            counts: Counts::default(),
            to_confirm: 0,
        }
    }

    /// The guest's side.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Another guest's side, or none; answers with the old one.
    pub fn set_link(&mut self, link: Option<Link>) -> Option<Link> {
        self.to_confirm = if link.is_some() { LOOKS } else { self.to_confirm };
        (self.is_held, self.blocked) = (false, None);
        std::mem::replace(&mut self.link, link)
    }

    /// One more look found its domain to have this name. True if the console is another domain's: that of the port that was bound is
    /// known for sure only by a look that began after it was. A domain that is renamed later stays the same.
    pub fn is_anothers(&mut self, name: Option<&[u8]>) -> bool {
        let is_unsure = self.link.is_none() || self.to_confirm > 0;
        self.to_confirm = self.to_confirm.saturating_sub(1);
        is_unsure && self.name.as_deref() != name
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// An event's port stays masked.
    pub fn hold(&mut self) {
        self.is_held = true;
        self.counts.held += 1;
    }

    /// Why nothing is taken from the guest.
    pub fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }

    /// Which events of the pty matter now: typing while the guest has room for it, room for output while some waits.
    pub fn interest(&self) -> (bool, bool) {
        let has_room = self.link.as_ref().is_some_and(|link| link.ring.room(&link.page) > 0);
        (has_room, !self.backlog.is_empty())
    }

    /// Whether the guest has written something that was not taken yet: with an event for it or without, as one does that crashes
    /// in the midst of it.
    pub fn has_more(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.ring.has_more(&link.page))
    }

    /// Takes what the guest has written, and lets its next event come unless there is a reason not to.
    pub fn serve(&mut self, io: &mut Io<'_>) -> Result<(), PtyError> {
        let shown = self.take(io, false);
        if let Some(link) = &self.link
            && !self.is_held
            && self.blocked.is_none()
        {
            // A port that is not bound any more is found at the next look.
            let _ = io.events.unmask(link.local);
        }
        shown
    }

    /// Takes what the guest has written, into the log and to the pty, and then gives it the room back. `is_last`: whatever stands
    /// against it, there is no other time.
    pub fn take(&mut self, io: &mut Io<'_>, is_last: bool) -> Result<(), PtyError> {
        let own = Own::Console(self.key);
        self.blocked = if is_last {
            None
        } else if !io.inlets.is_ready(own, io.now) {
            Some(Blocked::Log)
        } else if io.keeps && self.backlog.room() < OUT_SIZE as u64 {
            Some(Blocked::Reader)
        } else {
            None
        };
        if self.blocked.is_some() {
            return Ok(());
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        let mut bytes = [0; OUT_SIZE];
        let bytes = match link.ring.take(&link.page, &mut bytes) {
            Taken::Bytes(0) => return Ok(()),
            Taken::Bytes(count) => &mut bytes[..count],
            Taken::Impossible => {
                self.counts.corrupt += 1;
                return Ok(());
            }
        };
        self.counts.out += bytes.len() as u64;
        let shown = show(&mut self.pty, &mut self.backlog, bytes, &mut self.counts.lost);
        if io.replaces_escape {
            bytes.iter_mut().filter(|byte| **byte == 0x1b).for_each(|byte| *byte = b'.');
        }
        io.inlets.write(own, bytes, &mut *io.make_room);
        // Last: a daemon that is killed before leaves all of it to the next one.
        link.ring.release(&link.page);
        let _ = io.events.notify(link.local);
        shown
    }

    /// Types to the guest what clients have typed, as far as it has room. True if that was something.
    pub fn type_in(&mut self, io: &mut Io<'_>) -> Result<bool, PtyError> {
        let (Some(link), Some(pty)) = (&mut self.link, &mut self.pty) else { return Ok(false) };
        let room = link.ring.room(&link.page);
        if room == 0 {
            return Ok(false);
        }
        let mut bytes = [0; IN_SIZE];
        let Some(count) = pty.read(&mut bytes[..room])? else { return Ok(false) };
        let put = link.ring.put(&link.page, &bytes[..count]);
        self.counts.typed += put as u64;
        let _ = io.events.notify(link.local);
        Ok(true)
    }

    /// Shows what waits for a reader, as far as there is room. True if a guest that had to wait for that need not any more.
    pub fn flush(&mut self) -> Result<bool, PtyError> {
        let Some(pty) = &mut self.pty else { return Ok(false) };
        let mut chunk = [0; 4096];
        for _ in 0..CHUNKS {
            if self.backlog.is_empty() {
                break;
            }
            // Memory that cannot be read or written now can be at the next event.
            let Ok(count) = self.backlog.peek(&mut chunk) else { break };
            let written = pty.write(&chunk[..count])?;
            if self.backlog.consume(written).is_err() || written < count {
                break;
            }
        }
        Ok(self.blocked == Some(Blocked::Reader) && self.backlog.room() >= OUT_SIZE as u64)
    }
}

/// Shows it at once where nothing waits and there is room; the rest waits.
fn show(pty: &mut Option<Pty>, backlog: &mut Backlog, bytes: &[u8], lost: &mut u64) -> Result<(), PtyError> {
    let shown = match pty {
        Some(pty) if backlog.is_empty() => pty.write(bytes),
        _ => Ok(0),
    };
    // What a pty did not take that is broken is shown by the one that takes its place.
    let rest = &bytes[*shown.as_ref().unwrap_or(&0)..];
    if !rest.is_empty()
        && let Err(why) = backlog.push(rest)
    {
        if *lost == 0 {
            tracing::warn!("no memory for what waits for a reader of a console: {why}");
        }
        *lost += rest.len() as u64;
    }
    shown.map(drop)
}
