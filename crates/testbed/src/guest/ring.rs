//! The guest's side of its console ring (`struct xencons_interface`, xen/include/public/io/console.h).

use super::page::Page;

/// Bytes for the guest.
const IN: (u64, u32) = (0, 1024);
/// Bytes of the guest.
const OUT: (u64, u32) = (1024, 2048);
/// The byte that says whether somebody serves the ring.
const CONNECTION: u64 = 3088;

/// What runs through a ring: indices that are never taken modulo anything, and wrap at 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// How far the guest has read.
    InCons = 3072,
    /// How far the daemon has written.
    InProd = 3076,
    /// How far the daemon has read.
    OutCons = 3080,
    /// How far the guest has written.
    OutProd = 3084,
}

/// A ring in a page.
#[derive(Debug)]
pub(crate) struct Ring(pub(crate) Page);

impl Ring {
    pub(crate) fn get(&self, index: Index) -> u32 {
        self.0.load(index as u64)
    }

    pub(crate) fn set(&self, index: Index, value: u32) {
        self.0.store(index as u64, value);
    }

    pub(crate) fn connection(&self) -> u8 {
        let mut byte = [0];
        self.0.read(CONNECTION, &mut byte);
        byte[0]
    }

    pub(crate) fn set_connection(&self, byte: u8) {
        self.0.write(CONNECTION, &[byte]);
    }

    /// Puts as much of it into the ring as there is room for; how much that was.
    pub(crate) fn put(&self, bytes: &[u8]) -> usize {
        let (offset, size) = OUT;
        let produced = self.get(Index::OutProd);
        let room = size.saturating_sub(produced.wrapping_sub(self.get(Index::OutCons)));
        let bytes = &bytes[..bytes.len().min(room as usize)];
        let place = produced % size;
        let (first, second) = bytes.split_at(bytes.len().min((size - place) as usize));
        self.0.write(offset + u64::from(place), first);
        self.0.write(offset, second);
        // The bytes are there before the index says so: each write is a system call of its own.
        self.set(Index::OutProd, produced.wrapping_add(bytes.len() as u32));
        bytes.len()
    }

    /// Takes all that is there.
    pub(crate) fn take(&self) -> Vec<u8> {
        let (offset, size) = IN;
        let (consumed, produced) = (self.get(Index::InCons), self.get(Index::InProd));
        let mut ring = vec![0; size as usize];
        self.0.read(offset, &mut ring);
        let count = produced.wrapping_sub(consumed).min(size);
        let taken = (0..count).map(|step| ring[(consumed.wrapping_add(step) % size) as usize]).collect();
        self.set(Index::InCons, produced);
        taken
    }

    /// How many bytes of the guest nobody has taken.
    pub(crate) fn waiting(&self) -> u32 {
        self.get(Index::OutProd).wrapping_sub(self.get(Index::OutCons))
    }
}
