//! Who holds descriptors for the daemon: what the keeper does, without a process.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::chunk::Chunk;
use crate::keeper::fdstore::FdStore;
use crate::keeper::inbox::Inbox;
use crate::notify::message::Message;
use crate::notify::{Descriptors, Notify};

/// The keeper.
#[derive(Debug)]
pub struct Keeper {
    inbox: Inbox,
    kept: FdStore,
}

impl Keeper {
    /// One that keeps nothing yet.
    pub fn new(run: &Path) -> Keeper {
        Keeper { inbox: Inbox::open(run).unwrap(), kept: FdStore::at_most(1000) }
    }

    /// Takes what the daemon has sent.
    pub fn read(&mut self) {
        while let Some(mail) = self.inbox.next() {
            let message = Message::parse(&mail.text);
            if message.remove {
                self.kept.remove(message.kept_as());
            }
            if message.store {
                self.kept.add(message.kept_as(), mail.descriptors).unwrap();
            }
        }
    }

    /// For a new daemon: a line to here, and all that is kept.
    pub fn pass_on(&mut self) -> (Notify, Descriptors) {
        self.read();
        let mut notify = Notify::connect(self.inbox.path().as_os_str(), None).unwrap();
        let descriptors: Descriptors = self.kept.iter().map(|(name, fd)| (name.to_owned(), clone(fd))).collect();
        notify.inherit(&descriptors);
        (notify, descriptors)
    }

    /// Each hand that is kept: its number, and its pipe.
    pub fn hands(&self) -> Vec<(u32, Chunk)> {
        let ends = |side: &str| -> Vec<(u32, OwnedFd)> {
            let side = format!("hand-{side}-");
            let of_side = self.kept.iter().filter_map(|(name, fd)| Some((name.strip_prefix(&side)?, fd)));
            of_side.map(|(number, fd)| (number.parse().unwrap(), clone(fd))).collect()
        };
        let mut writers = ends("w");
        let mut hands = Vec::new();
        for (number, reader) in ends("r") {
            if let Some(at) = writers.iter().position(|(other, _)| *other == number) {
                let (_, writer) = writers.remove(at);
                hands.push((number, Chunk::from_ends(reader, writer).unwrap()));
            }
        }
        hands
    }
}

fn clone(fd: BorrowedFd<'_>) -> OwnedFd {
    fd.try_clone_to_owned().unwrap()
}
