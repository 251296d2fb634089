//! The event loop's words for the consoles' descriptors.

use logproto::DomId;

use crate::key::{ConsoleKey, Kind};

/// The store's connection.
pub const STORE: u64 = 16;
/// The event channels.
pub const EVENTS: u64 = 17;
const PTYS: u64 = 1 << 32;

/// A pty.
pub fn pty(key: ConsoleKey) -> u64 {
    let kind = u64::from(key.kind == Kind::Vuart);
    PTYS | kind << 16 | u64::from(key.domid.number())
}

/// Whose pty it is.
pub fn console(token: u64) -> Option<ConsoleKey> {
    let below = token.checked_sub(PTYS)?;
    let kind = if below >> 16 == 0 { Kind::Pv } else { Kind::Vuart };
    let domid = u16::try_from(below & 0xffff).ok().and_then(DomId::new)?;
    Some(ConsoleKey { domid, kind })
}
