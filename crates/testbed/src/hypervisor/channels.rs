//! Event channels as domain 0 sees them: who has bound what, and what is masked and pending. No I/O.

use std::collections::{BTreeMap, HashMap};

/// What an event channel of domain 0 leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// A port of another domain.
    Domain { domid: u16, port: u32 },
    /// An interrupt of the hypervisor.
    Virq(u32),
}

/// EVTCHNOP_status (xen/include/public/event_channel.h).
pub(crate) const CLOSED: u32 = 0;
/// The other side is not there any more.
pub(crate) const UNBOUND: u32 = 1;
/// Leads to a port of a domain.
pub(crate) const INTERDOMAIN: u32 = 2;
/// Leads to an interrupt.
pub(crate) const VIRQ: u32 = 4;

#[derive(Debug)]
struct Channel {
    /// The open handle that it belongs to.
    handle: u64,
    end: End,
    is_connected: bool,
    is_masked: bool,
    is_pending: bool,
    /// How many events its holder was told of.
    told: u64,
}

/// All event channels of domain 0.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    ports: BTreeMap<u32, Channel>,
    by_end: HashMap<End, u32>,
}

impl Channels {
    /// The handle that has bound this end.
    pub(crate) fn holder(&self, end: End) -> Option<u64> {
        Some(self.ports[self.by_end.get(&end)?].handle)
    }

    /// The port of domain 0 that leads there.
    pub(crate) fn port(&self, end: End) -> Option<u32> {
        self.by_end.get(&end).copied()
    }

    /// Binds an end that nobody has bound to the lowest port that is free, as Xen does.
    pub(crate) fn bind(&mut self, handle: u64, end: End) -> Option<u32> {
        if self.by_end.contains_key(&end) {
            return None;
        }
        let port = (1..).zip(self.ports.keys()).find(|(free, taken)| free != *taken).map(|(free, _)| free);
        let port = port.unwrap_or_else(|| self.ports.len().try_into().map_or(u32::MAX, |count: u32| count + 1));
        let channel = Channel { handle, end, is_connected: true, is_masked: false, is_pending: false, told: 0 };
        self.ports.insert(port, channel);
        self.by_end.insert(end, port);
        Some(port)
    }

    /// Closes a port of this handle; whether it had it.
    pub(crate) fn unbind(&mut self, handle: u64, port: u32) -> bool {
        let is_own = self.ports.get(&port).is_some_and(|channel| channel.handle == handle);
        if is_own && let Some(channel) = self.ports.remove(&port) {
            self.forget(channel.end, port);
        }
        is_own
    }

    /// Closes all that this handle has bound.
    pub(crate) fn close(&mut self, handle: u64) {
        let own: Vec<u32> =
            self.ports.iter().filter(|(_, channel)| channel.handle == handle).map(|(port, _)| *port).collect();
        for port in own {
            self.unbind(handle, port);
        }
    }

    /// The other side has closed its end: domain 0 keeps a port that leads nowhere.
    pub(crate) fn disconnect(&mut self, end: End) {
        if let Some(port) = self.by_end.remove(&end)
            && let Some(channel) = self.ports.get_mut(&port)
        {
            channel.is_connected = false;
        }
    }

    /// An event for this port. If it is to be told of now, the handle that it is to be told of; then the port is masked.
    pub(crate) fn raise(&mut self, port: u32) -> Option<u64> {
        let channel = self.ports.get_mut(&port)?;
        if channel.is_masked {
            channel.is_pending = true;
            return None;
        }
        channel.is_masked = true;
        channel.told += 1;
        Some(channel.handle)
    }

    /// Takes the mask off; what came meanwhile, once or more often, is one event.
    pub(crate) fn unmask(&mut self, handle: u64, port: u32) -> Option<u64> {
        let channel = self.ports.get_mut(&port).filter(|channel| channel.handle == handle)?;
        channel.is_masked = false;
        std::mem::take(&mut channel.is_pending).then(|| self.raise(port)).flatten()
    }

    /// What an event on this port goes to.
    pub(crate) fn other_end(&self, handle: u64, port: u32) -> Option<End> {
        let channel = self.ports.get(&port)?;
        (channel.handle == handle && channel.is_connected).then_some(channel.end)
    }

    /// How many events its holder was told of.
    pub(crate) fn told(&self, port: u32) -> u64 {
        self.ports.get(&port).map_or(0, |channel| channel.told)
    }

    /// What this port is.
    pub(crate) fn status(&self, port: u32) -> u32 {
        match self.ports.get(&port) {
            None => CLOSED,
            Some(Channel { is_connected: false, .. }) => UNBOUND,
            Some(Channel { end: End::Domain { .. }, .. }) => INTERDOMAIN,
            Some(Channel { end: End::Virq(_), .. }) => VIRQ,
        }
    }

    fn forget(&mut self, end: End, port: u32) {
        if self.by_end.get(&end) == Some(&port) {
            self.by_end.remove(&end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: End = End::Domain { domid: 7, port: 2 };

    #[test]
    fn events_of_a_masked_port_are_one_event_later() {
        let mut channels = Channels::default();
        let port = channels.bind(1, CONSOLE).unwrap();
        assert_eq!(channels.raise(port), Some(1));
        assert_eq!((channels.raise(port), channels.raise(port)), (None, None));
        assert_eq!(channels.unmask(2, port), None, "it is the other handle's");
        assert_eq!(channels.unmask(1, port), Some(1));
        assert_eq!(channels.unmask(1, port), None, "two events were one");
        assert_eq!(channels.raise(port), Some(1));
    }

    #[test]
    fn an_end_has_one_holder() {
        let mut channels = Channels::default();
        let port = channels.bind(1, CONSOLE).unwrap();
        assert_eq!(channels.bind(2, CONSOLE), None);
        assert_eq!(channels.bind(2, End::Virq(8)), Some(2));
        assert!(!channels.unbind(2, port));
        channels.close(1);
        assert_eq!((channels.status(port), channels.status(2)), (CLOSED, VIRQ));
        assert_eq!(channels.bind(2, CONSOLE), Some(1), "the lowest that is free");
        assert_eq!(channels.holder(CONSOLE), Some(2));
    }

    #[test]
    fn a_port_outlives_its_other_end() {
        let mut channels = Channels::default();
        let port = channels.bind(1, CONSOLE).unwrap();
        assert_eq!((channels.status(port), channels.other_end(1, port)), (INTERDOMAIN, Some(CONSOLE)));
        channels.disconnect(CONSOLE);
        assert_eq!((channels.status(port), channels.other_end(1, port)), (UNBOUND, None));
        let new = channels.bind(1, CONSOLE).unwrap();
        assert!(channels.unbind(1, port));
        assert_eq!(channels.port(CONSOLE), Some(new), "the old port does not take the new one with it");
    }
}
