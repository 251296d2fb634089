//! Guests: domains whose consoles are played by the test.

mod page;
mod ring;

use std::fs;
use std::path::PathBuf;

use crate::hypervisor::{End, Hypervisor, Shared};
use crate::until;
use page::Page;
use ring::Ring;

pub use ring::Index;

/// Grants that the domain builder makes (xen/include/public/grant_table.h).
const CONSOLE_GRANT: u32 = 0;
const STORE_GRANT: u32 = 1;

/// The port of its connection with the store.
pub(crate) const STORE_PORT: u32 = 1;
/// The port of the console in a new guest.
const CONSOLE_PORT: u32 = 2;
/// The port of the other console in a new guest.
const VUART_PORT: u32 = 3;

/// One side of a console: a ring and an event channel, as the guest's kernel has them. Nothing here is code of the daemon.
#[derive(Debug)]
pub struct Console {
    domid: u16,
    shared: Shared,
    /// The page as mapping by frame finds it.
    frame: u64,
    ring: Ring,
    port: u32,
}

impl Console {
    fn new(hypervisor: &Hypervisor, domid: u16, frame: u64, port: u32) -> Console {
        let page = Page::create(&hypervisor.domain_dir(domid).join(format!("frame{frame}")));
        let console = Console { domid, shared: hypervisor.shared().clone(), frame, ring: Ring(page), port };
        console.offer(port);
        // The domain builder says that nobody is there yet (tools/libs/guest/xg_dom_boot.c).
        console.ring.set_connection(1);
        console
    }

    /// The number of its page's frame, which `ring-ref` has.
    pub fn frame(&self) -> u64 {
        self.frame
    }

    /// Its event channel, which `port` has.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Puts as much as there is room for into the ring and sends an event; how much that was.
    pub fn put(&self, bytes: impl AsRef<[u8]>) -> usize {
        let count = self.put_silently(bytes);
        self.kick();
        count
    }

    /// The same without an event.
    pub fn put_silently(&self, bytes: impl AsRef<[u8]>) -> usize {
        self.ring.put(bytes.as_ref())
    }

    /// Writes all of it, waiting for room where there is none, with an event for each piece.
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        until("room in the ring of a guest", || {
            let mut count = 1;
            while count > 0 && !rest.is_empty() {
                count = self.put(rest);
                rest = &rest[count..];
            }
            rest.is_empty().then_some(())
        });
    }

    /// Takes all that was typed.
    pub fn take(&self) -> Vec<u8> {
        let taken = self.ring.take();
        self.kick();
        taken
    }

    /// Takes what is typed until it is so many bytes.
    pub fn read(&self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        until("what was typed, in the ring of a guest", || {
            all.extend(self.take());
            (all.len() >= count).then_some(())
        });
        all
    }

    /// Sends an event to whoever has bound the port.
    pub fn kick(&self) {
        self.shared.lock().send(self.end());
    }

    /// Whether somebody has bound the port.
    pub fn is_bound(&self) -> bool {
        self.shared.lock().is_bound(self.end())
    }

    /// Of how many events whoever has bound the port has been told: those of a masked port are one event later.
    pub fn told(&self) -> u64 {
        let state = self.shared.lock();
        state.channels.port(self.end()).map_or(0, |port| state.channels.told(port))
    }

    /// How many events have come from the other side.
    pub fn events(&self) -> u64 {
        let state = self.shared.lock();
        state.domains.get(&self.domid).and_then(|domain| domain.events.get(&self.port)).copied().unwrap_or(0)
    }

    /// How many bytes in the ring nobody has taken.
    pub fn waiting(&self) -> u32 {
        self.ring.waiting()
    }

    /// Waits until all has been taken out of the ring.
    pub fn drained(&self) {
        until("a ring that is taken empty", || (self.waiting() == 0).then_some(()));
    }

    /// An index of the ring.
    pub fn index(&self, index: Index) -> u32 {
        self.ring.get(index)
    }

    /// Sets an index, its own or not: a guest can write all of the page.
    pub fn set_index(&self, index: Index, value: u32) {
        self.ring.set(index, value);
    }

    /// The byte by which a guest sees whether it is served: 1 not yet, 0 it is.
    pub fn connection(&self) -> u8 {
        self.ring.connection()
    }

    /// Writes all over the page.
    pub fn scribble(&self, byte: u8) {
        self.ring.0.write(0, &[byte; 4096]);
    }

    /// Closes its port and makes a new one, as a kernel does that goes on after a suspend that was called off.
    pub fn change_port(&mut self, port: u32) {
        {
            let mut state = self.shared.lock();
            state.channels.disconnect(self.end());
            if let Some(domain) = state.domains.get_mut(&self.domid) {
                domain.ports.remove(&self.port);
            }
        }
        self.port = port;
        self.offer(port);
    }

    fn offer(&self, port: u32) {
        if let Some(domain) = self.shared.lock().domains.get_mut(&self.domid) {
            domain.ports.insert(port);
        }
    }

    fn end(&self) -> End {
        End::Domain { domid: self.domid, port: self.port }
    }
}

/// A domain with a console and one more that only some guests have.
#[derive(Debug)]
pub struct Guest {
    domid: u16,
    name: String,
    dir: PathBuf,
    console: Console,
    vuart: Console,
    store_frame: u64,
}

impl std::ops::Deref for Guest {
    type Target = Console;

    /// Its console is what a guest is about here.
    fn deref(&self) -> &Console {
        &self.console
    }
}

impl Guest {
    /// A domain that the hypervisor knows and nobody else.
    ///
    /// # Panics
    /// If there is one with this id.
    pub fn create(hypervisor: &Hypervisor, domid: u16, name: &str) -> Guest {
        hypervisor.add_domain(domid);
        let dir = hypervisor.domain_dir(domid);
        let base = 1000 + 10 * u64::from(domid);
        let console = Console::new(hypervisor, domid, base, CONSOLE_PORT);
        let vuart = Console::new(hypervisor, domid, base + 1, VUART_PORT);
        let store = Page::create(&dir.join(format!("frame{}", base + 2)));
        console.offer(STORE_PORT);
        let guest = Guest { domid, name: name.to_owned(), dir, console, vuart, store_frame: base + 2 };
        guest.grant(CONSOLE_GRANT, &guest.console.ring.0);
        guest.grant(STORE_GRANT, &store);
        guest
    }

    /// Its domain id.
    pub fn domid(&self) -> u16 {
        self.domid
    }

    /// Its name, as its toolstack gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its console, to change it.
    pub fn console_mut(&mut self) -> &mut Console {
        &mut self.console
    }

    /// The other one.
    pub fn vuart(&self) -> &Console {
        &self.vuart
    }

    /// The number of the frame of its page for the store, which whoever introduces it tells.
    pub fn store_frame(&self) -> u64 {
        self.store_frame
    }

    /// From now on its console's page cannot be had by grant.
    ///
    /// # Panics
    /// If it could not be had before.
    pub fn revoke_grant(&self) {
        remove(&self.grant_path(CONSOLE_GRANT));
    }

    /// From now on its console's page cannot be had by its frame.
    ///
    /// # Panics
    /// If it could not be had before.
    pub fn hide_frame(&self) {
        remove(self.console.ring.0.path());
    }

    /// Moves the console to another page, which is empty; the old one is not given back.
    pub fn move_console(&mut self) {
        self.console.frame += 5;
        let page = Page::create(&self.dir.join(format!("frame{}", self.console.frame)));
        if fs::remove_file(self.grant_path(CONSOLE_GRANT)).is_ok() {
            self.grant(CONSOLE_GRANT, &page);
        }
        self.console.ring = Ring(page);
        self.console.ring.set_connection(1);
    }

    fn grant(&self, reference: u32, page: &Page) {
        let path = self.grant_path(reference);
        fs::hard_link(page.path(), &path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }

    fn grant_path(&self, reference: u32) -> PathBuf {
        self.dir.join(format!("grant{reference}"))
    }
}

fn remove(path: &std::path::Path) {
    fs::remove_file(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
}
