//! Consoles' ptys: made, kept, told to clients, and waited for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::epoll;

use super::pty::{Pty, PtyError};
use super::{Consoles, Wish, token};
use crate::key::ConsoleKey;

impl Consoles {
    /// A pty in the place of one that is broken, or that could not be had.
    pub(super) fn renew_pty(&mut self, key: ConsoleKey) {
        let Some(console) = self.consoles.get_mut(&key) else { return };
        // A descriptor that is closed is no longer waited for (epoll(7)), unless it is kept by others too.
        if let Some(old) = console.pty.take() {
            let _ = epoll::delete(&*self.epoll, old.master());
        }
        self.interest.remove(&key);
        (console.is_safe, console.is_published) = (false, false);
        match Pty::new() {
            Ok(pty) => {
                self.said.remove(&key);
                console.pty = Some(pty);
                self.wishes.push_back(Wish::Keep(key));
            }
            Err(why) => {
                self.say_once(key, &why.to_string(), |why| tracing::error!("{key}: {why}; trying again"));
                self.retry(key.domid, Instant::now());
            }
        }
    }

    /// What is to be kept of a console: the pty's master and slave, and what waits for a reader.
    pub fn descriptors(&self, key: ConsoleKey) -> Option<[BorrowedFd<'_>; 3]> {
        let console = self.consoles.get(&key)?;
        let pty = console.pty.as_ref()?;
        Some([pty.master(), pty.slave(), console.backlog.fd()])
    }

    /// Whoever keeps descriptors has a console's: clients may be told of its pty.
    pub fn safe(&mut self, key: ConsoleKey) {
        if let Some(console) = self.consoles.get_mut(&key) {
            console.is_safe = true;
            // Written where its nodes are, and not where they were a while ago.
            self.store.look_at(key.domid);
        }
    }

    /// Says in the store where clients find a console, if it does not say so. A new pty is told in any case: it may have the name of one
    /// that is gone, and clients wait to hear of it.
    pub(super) fn publish(&mut self, key: ConsoleKey, said: Option<&[u8]>) {
        let Some(console) = self.consoles.get_mut(&key) else { return };
        if let Some(pty) = console.pty.as_ref().filter(|_| console.is_safe && console.link().is_some())
            && (said != Some(pty.name().as_bytes()) || !console.is_published)
        {
            self.store.publish(key, pty.name());
            console.is_published = true;
        }
    }

    pub(super) fn broken(&mut self, key: ConsoleKey, why: &PtyError) {
        tracing::warn!("{key}: {why}; it gets another pty");
        self.renew_pty(key);
        self.attend(key);
    }

    /// Has the event loop wait for what matters of a pty now.
    pub(super) fn attend(&mut self, key: ConsoleKey) {
        let Some(console) = self.consoles.get(&key) else { return };
        let Some(pty) = &console.pty else { return };
        let wanted = console.interest();
        if self.interest.get(&key) == Some(&wanted) {
            return;
        }
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, wanted.0);
        flags.set(epoll::EventFlags::OUT, wanted.1);
        let data = epoll::EventData::new_u64(token::pty(key));
        let done = match self.interest.insert(key, wanted) {
            Some(_) => epoll::modify(&*self.epoll, pty.master(), data, flags),
            None => epoll::add(&*self.epoll, pty.master(), data, flags),
        };
        if let Err(why) = done {
            tracing::error!("{key}: cannot wait for its pty: {why}; trying again");
            self.interest.remove(&key);
            self.retry(key.domid, Instant::now());
        }
    }

    /// The event loop waits for none of these any more: nobody takes anything from them, and they would wake it up for ever.
    pub fn ignore(&self) {
        let ptys = self.consoles.values().filter_map(|console| console.pty.as_ref()).map(Pty::master);
        let store = self.store.fd().map(|(fd, _)| fd);
        for fd in ptys.chain(store).chain([self.events.as_fd()]) {
            // One that is not waited for now is as well.
            let _ = epoll::delete(&*self.epoll, fd);
        }
    }
}
