//! What the hypervisor knows, and what it does when it is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::call::{Call, answer};
use super::channels::{Channels, End};
use super::console::ConsoleRing;

/// Something happened to a domain (xen/include/public/xen.h).
pub(crate) const VIRQ_DOM_EXC: u32 = 3;
/// The hypervisor has printed something.
pub(crate) const VIRQ_CON_RING: u32 = 8;

/// Flags of XEN_DOMCTL_getdomaininfo (xen/include/public/domctl.h).
pub(crate) const DYING: u32 = 1 << 0;
pub(crate) const SHUTDOWN: u32 = 1 << 2;
pub(crate) const SHUTDOWN_SHIFT: u32 = 16;

/// One domain.
#[derive(Debug, Default)]
pub(crate) struct Domain {
    pub(crate) flags: u32,
    /// Ports that it has made for domain 0 to bind.
    pub(crate) ports: BTreeSet<u32>,
    /// How many events have come to each.
    pub(crate) events: HashMap<u32, u64>,
}

/// The hypervisor.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) domains: BTreeMap<u16, Domain>,
    pub(crate) channels: Channels,
    pub(crate) console: ConsoleRing,
    /// Domains whose ports cannot be bound.
    pub(crate) unbindable: HashSet<u16>,
    /// How often it looks for what it is told, if it is not woken up for that.
    pub(crate) rest: Option<Duration>,
    /// Of each handle: its connection, to see whether it is still there, and where its events go.
    handles: HashMap<u64, (UnixStream, File)>,
}

impl State {
    /// Programs find their handles broken.
    pub(crate) fn break_handles(&mut self) {
        self.handles.clear();
    }

    pub(crate) fn new(console: ConsoleRing) -> State {
        State {
            // Linux offers the store a port of its own (/proc/xen/xsd_port).
            domains: BTreeMap::from([(0, Domain { ports: BTreeSet::from([1]), ..Domain::default() })]),
            channels: Channels::default(),
            console,
            unbindable: HashSet::new(),
            rest: None,
            handles: HashMap::new(),
        }
    }

    /// An event for whoever has bound this end, if somebody has.
    pub(crate) fn send(&mut self, end: End) {
        if let Some(port) = self.channels.port(end) {
            self.raise(port);
        }
    }

    /// Whether a process that lives has bound this end.
    pub(crate) fn is_bound(&mut self, end: End) -> bool {
        // A process that has died has closed what it had before anybody can know of its death, but that may not have been
        // looked at yet.
        if let Some(holder) = self.channels.holder(end)
            && self.handles.get(&holder).is_none_or(|(connection, _)| is_closed(connection))
        {
            self.close(holder);
        }
        self.channels.holder(end).is_some()
    }

    /// What `handle` asks is done; the answer, if there is one.
    pub(crate) fn answer(
        &mut self,
        handle: u64,
        call: Call,
        connection: &UnixStream,
        pipe: Option<OwnedFd>,
    ) -> Option<Vec<u8>> {
        let plain = |result: Result<u32, Errno>| Some(answer(result.map(u32::cast_signed), &[]));
        match call {
            Call::Events => plain(self.open(handle, connection, pipe)),
            Call::BindInterdomain { domid, port } => plain(self.bind_interdomain(handle, domid, port)),
            Call::BindVirq(virq) => plain(self.bind(handle, End::Virq(virq), Errno::EXIST)),
            Call::Unbind(port) => plain(self.channels.unbind(handle, port).then_some(0).ok_or(Errno::NOTCONN)),
            Call::Status(port) => plain(Ok(self.channels.status(port))),
            Call::Unmask(port) => {
                let told = self.channels.unmask(handle, port);
                self.tell(told, port);
                None
            }
            Call::Notify(port) => {
                if let Some(End::Domain { domid, port }) = self.channels.other_end(handle, port)
                    && let Some(domain) = self.domains.get_mut(&domid)
                {
                    *domain.events.entry(port).or_default() += 1;
                }
                None
            }
            Call::Domain(first) => {
                let found = u16::try_from(first).ok().and_then(|first| self.domains.range(first..).next());
                let told =
                    found.map(|(domid, domain)| [u32::from(*domid).to_ne_bytes(), domain.flags.to_ne_bytes()].concat());
                Some(told.map_or_else(|| answer(Err(Errno::SRCH), &[]), |told| answer(Ok(0), &told)))
            }
            Call::Console { index, most, clear } => {
                let (text, next) = self.console.read(index, most as usize, clear);
                let data = [&next.to_ne_bytes()[..], &text].concat();
                Some(answer(Ok(text.len() as i32), &data))
            }
        }
    }

    /// The program behind `handle` is gone, or has closed it.
    pub(crate) fn close(&mut self, handle: u64) {
        self.handles.remove(&handle);
        self.channels.close(handle);
    }

    fn open(&mut self, handle: u64, connection: &UnixStream, pipe: Option<OwnedFd>) -> Result<u32, Errno> {
        let pipe = pipe.ok_or(Errno::BADF)?;
        // It has room for more ports than there are; a program that hangs must not hold up the hypervisor in any case.
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let connection = connection.try_clone().map_err(|_| Errno::MFILE)?;
        self.handles.insert(handle, (connection, File::from(pipe)));
        Ok(0)
    }

    /// EINVAL where Xen says so (xen/common/event_channel.c): no such domain or port, or somebody has it.
    fn bind_interdomain(&mut self, handle: u64, domid: u32, port: u32) -> Result<u32, Errno> {
        let domid = u16::try_from(domid).map_err(|_| Errno::SRCH)?;
        let domain = self.domains.get(&domid).ok_or(Errno::SRCH)?;
        if !domain.ports.contains(&port) || self.unbindable.contains(&domid) {
            return Err(Errno::INVAL);
        }
        let local = self.bind(handle, End::Domain { domid, port }, Errno::INVAL)?;
        // A fresh binding is pending: what the guest did before is noticed.
        self.raise(local);
        Ok(local)
    }

    fn bind(&mut self, handle: u64, end: End, taken: Errno) -> Result<u32, Errno> {
        if self.is_bound(end) {
            return Err(taken);
        }
        self.channels.bind(handle, end).ok_or(taken)
    }

    fn raise(&mut self, port: u32) {
        let told = self.channels.raise(port);
        self.tell(told, port);
    }

    fn tell(&mut self, handle: Option<u64>, port: u32) {
        if let Some((_, pipe)) = handle.and_then(|handle| self.handles.get_mut(&handle)) {
            // An error means that its process is gone.
            let _ = pipe.write_all(&port.to_ne_bytes());
        }
    }
}

fn is_closed(connection: &UnixStream) -> bool {
    let mut fds = [PollFd::new(connection, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP)
}
