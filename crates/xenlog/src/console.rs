//! Guests' consoles as a client meets them: which domain is meant, which node of the store names its terminal, who may
//! attach, and how the terminal is opened.
//!
//! What xenstore has of a console and how the stock client goes about it: tools/console/client/main.c of Xen.

mod domain;
mod error;
mod lock;
mod tty;

use std::fmt;
use std::str::FromStr;

use logproto::DomId;
use xenstore::{Client, Perm};

pub use domain::Domain;
pub use error::Error;
pub use lock::{LOCK_DIR, Lock, lock_dir};
pub use tty::Tty;

/// Which of a domain's terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A paravirtual console: the first is the console daemon's, further ones are QEMU's.
    Pv,
    /// A serial port that QEMU emulates for an HVM guest.
    Serial,
    /// The virtual UART of a guest on Arm: the console daemon's.
    Vuart,
}

impl Kind {
    /// The word for it, as of `xl console -t` and of the daemon's status.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Pv => "pv",
            Kind::Serial => "serial",
            Kind::Vuart => "vuart",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Kind, &'static str> {
        let kinds = [Kind::Pv, Kind::Serial, Kind::Vuart];
        kinds.into_iter().find(|kind| kind.word() == text).ok_or("a console's type is pv, serial or vuart")
    }
}

/// One console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Console {
    /// Whose it is.
    pub domid: DomId,
    /// Which terminal.
    pub kind: Kind,
    /// Which of these, from 0.
    pub number: u32,
}

impl Console {
    /// The console that a person means who names none: the serial port of a guest that has one, which is an HVM guest,
    /// else the paravirtual console.
    ///
    /// # Errors
    /// The store's.
    pub fn preferred(store: &mut Client, domid: DomId, number: u32) -> Result<Console, xenstore::Error> {
        let serial = Console { domid, kind: Kind::Serial, number };
        match store.read(&serial.tty_node()) {
            Ok(_) => Ok(serial),
            Err(error) if error.is_absent() => Ok(Console { kind: Kind::Pv, ..serial }),
            Err(error) => Err(error),
        }
    }

    /// The node that names the terminal.
    pub fn tty_node(self) -> String {
        let Console { domid, kind, number } = self;
        let place = match kind {
            Kind::Pv if number == 0 => "console".to_owned(),
            Kind::Pv => format!("device/console/{number}"),
            Kind::Serial => format!("serial/{number}"),
            Kind::Vuart => format!("vuart/{number}"),
        };
        format!("/local/domain/{domid}/{place}/tty")
    }

    /// Whether it is the console daemon that serves it, and may keep a log of it; the others are QEMU's.
    pub fn is_daemons(self) -> bool {
        self.kind != Kind::Serial && self.number == 0
    }

    /// Whether the guest itself may have written a node with these permissions. What such a node names must not be
    /// opened: a guest could have its administrator type into another guest's terminal (Xen's XSA-57).
    pub fn is_guests(self, perms: &[Perm]) -> bool {
        let guest = u32::from(self.domid.number());
        let [owner, others @ ..] = perms else { return true };
        let own = others.iter().find(|perm| perm.domid == guest).unwrap_or(owner);
        owner.domid == guest || own.access.writes()
    }
}

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Console { domid, kind, number } = self;
        match (kind, number) {
            (Kind::Pv, 0) => write!(f, "console of domain {domid}"),
            (Kind::Pv, _) => write!(f, "console {number} of domain {domid}"),
            (Kind::Serial, _) => write!(f, "serial port {number} of domain {domid}"),
            (Kind::Vuart, _) => write!(f, "vuart of domain {domid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xenstore::Access;

    fn console(kind: Kind, number: u32) -> Console {
        Console { domid: "7".parse().unwrap(), kind, number }
    }

    #[test]
    fn nodes_are_the_stock_clients() {
        assert_eq!(console(Kind::Pv, 0).tty_node(), "/local/domain/7/console/tty");
        assert_eq!(console(Kind::Pv, 3).tty_node(), "/local/domain/7/device/console/3/tty");
        assert_eq!(console(Kind::Serial, 0).tty_node(), "/local/domain/7/serial/0/tty");
        assert_eq!(console(Kind::Vuart, 0).tty_node(), "/local/domain/7/vuart/0/tty");
    }

    #[test]
    fn words_go_both_ways() {
        for kind in [Kind::Pv, Kind::Serial, Kind::Vuart] {
            assert_eq!(kind.word().parse(), Ok(kind));
        }
        assert!("PV".parse::<Kind>().is_err());
    }

    #[test]
    fn a_node_that_the_guest_can_write_is_the_guests() {
        let is_guests = |perms: &[(Access, u32)]| {
            let perms: Vec<Perm> = perms.iter().map(|&(access, domid)| Perm::new(access, domid)).collect();
            console(Kind::Pv, 0).is_guests(&perms)
        };
        assert!(!is_guests(&[(Access::None, 0), (Access::Read, 7)]), "as libxl makes it");
        assert!(!is_guests(&[(Access::None, 0)]));
        assert!(!is_guests(&[(Access::Write, 0), (Access::Read, 7)]), "others may, it may not");
        assert!(is_guests(&[(Access::None, 7)]), "its owner");
        assert!(is_guests(&[(Access::None, 0), (Access::Both, 7)]));
        assert!(is_guests(&[(Access::Write, 0), (Access::Read, 5)]), "everybody may");
        assert!(is_guests(&[]));
    }
}
