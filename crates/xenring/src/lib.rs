//! The ring that a guest's console is, from the backend's side: `struct xencons_interface` in xen/include/public/io/console.h.
//!
//! One page that the guest can write everywhere, at any time. So the backend's own two indices are kept in private, and the
//! page's are only told what they are; the guest's are read once for each look; and bytes are copied out before anybody
//! looks at them. The worst that a guest can do is to garble its own console.
#![forbid(unsafe_code)]

use xen_sys::shared::Shared;

/// Where things are in the page.
pub mod layout {
    /// What is typed to the guest: a ring of [`IN_SIZE`] bytes.
    pub const IN: usize = 0;
    /// How many bytes typed to the guest the ring holds.
    pub const IN_SIZE: usize = 1024;
    /// What the guest writes: a ring of [`OUT_SIZE`] bytes.
    pub const OUT: usize = 1024;
    /// How many bytes of the guest the ring holds.
    pub const OUT_SIZE: usize = 2048;
    /// How far the guest has read what was typed. All four indices count bytes, modulo 2^32.
    pub const IN_CONS: usize = 3072;
    /// How far the backend has written what was typed.
    pub const IN_PROD: usize = 3076;
    /// How far the backend has read what the guest wrote.
    pub const OUT_CONS: usize = 3080;
    /// How far the guest has written.
    pub const OUT_PROD: usize = 3084;
    /// 1 until a backend is there, if the guest's builder is of Xen 4.21 or later; 0 from then on.
    pub const CONNECTION: usize = 3088;
    /// Where the structure ends.
    pub const END: usize = 3092;
}

use layout::{CONNECTION, IN, IN_CONS, IN_PROD, IN_SIZE, OUT, OUT_CONS, OUT_PROD, OUT_SIZE};

/// `XENCONSOLE_CONNECTED`.
const CONNECTED: u8 = 0;

/// What came of a look at what the guest has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes were copied; 0 if there was nothing.
    Bytes(usize),
    /// The guest says that it has written more than the ring holds: nothing was copied.
    Impossible,
}

/// The backend's end of one console: how far it is, independent of what the page says.
///
/// All methods have to be given the same page, with at least [`layout::END`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// How far what the guest wrote has been taken. The page says so after [`Ring::release`].
    out_cons: u32,
    /// How far what is typed has been written. The page says so at once.
    in_prod: u32,
}

impl Ring {
    /// Goes on where the last backend has left off, or at the beginning of a new page.
    ///
    /// This is the only time that the page is asked for the backend's own indices. Where they are impossible, what is in
    /// the ring is nothing that anybody could read: then it goes on behind it.
    #[must_use]
    pub fn attach(page: &Shared) -> Ring {
        let behind = |produced, consumed, size| {
            let (produced, consumed) = (page.load_u32(produced), page.load_u32(consumed));
            (produced, consumed, held(produced, consumed, size).is_some())
        };
        let (out_prod, out_cons, possible) = behind(OUT_PROD, OUT_CONS, OUT_SIZE);
        let out_cons = if possible { out_cons } else { out_prod };
        let (in_prod, in_cons, possible) = behind(IN_PROD, IN_CONS, IN_SIZE);
        let in_prod = if possible { in_prod } else { in_cons };
        Ring { out_cons, in_prod }
    }

    /// Says to the guest that there is a backend now. To be called when its event channel is bound.
    pub fn connect(&self, page: &Shared) {
        page.store_u8(CONNECTION, CONNECTED);
    }

    /// Takes what the guest has written, as much as has room: the next bytes that were not taken yet. The guest does not
    /// learn of it before [`Ring::release`]: a backend that is killed in between leaves all to its successor.
    pub fn take(&mut self, page: &Shared, bytes: &mut [u8]) -> Taken {
        // Once: it may be another the next time. What the guest wrote before it is read after it.
        let Some(held) = held(page.load_u32(OUT_PROD), self.out_cons, OUT_SIZE) else { return Taken::Impossible };
        let count = held.min(bytes.len());
        let (first, rest) = pieces(self.out_cons, count, OUT_SIZE);
        page.read(OUT + first, &mut bytes[..count - rest]);
        page.read(OUT, &mut bytes[count - rest..count]);
        self.out_cons = self.out_cons.wrapping_add(in_u32(count));
        Taken::Bytes(count)
    }

    /// Whether there is something to take, possible or not.
    #[must_use]
    pub fn has_more(&self, page: &Shared) -> bool {
        page.load_u32(OUT_PROD) != self.out_cons
    }

    /// Gives the guest back the room of all that was taken. It has to be notified then.
    pub fn release(&self, page: &Shared) {
        // All reads of the bytes are done before it can be seen.
        page.store_u32(OUT_CONS, self.out_cons);
    }

    /// How many bytes can be typed now. None if the guest says that it has read what was never typed.
    #[must_use]
    pub fn room(&self, page: &Shared) -> usize {
        held(self.in_prod, page.load_u32(IN_CONS), IN_SIZE).map_or(0, |held| IN_SIZE - held)
    }

    /// Types bytes, as many as there is room for, and answers with how many. The guest has to be notified then.
    pub fn put(&mut self, page: &Shared, bytes: &[u8]) -> usize {
        let count = self.room(page).min(bytes.len());
        let (first, rest) = pieces(self.in_prod, count, IN_SIZE);
        page.write(IN + first, &bytes[..count - rest]);
        page.write(IN, &bytes[count - rest..count]);
        self.in_prod = self.in_prod.wrapping_add(in_u32(count));
        // Whoever sees it finds the bytes.
        page.store_u32(IN_PROD, self.in_prod);
        count
    }
}

/// How many bytes a ring of this size holds, if it can.
fn held(produced: u32, consumed: u32, size: usize) -> Option<usize> {
    usize::try_from(produced.wrapping_sub(consumed)).ok().filter(|held| *held <= size)
}

/// Where bytes are in a ring that begin at this index: the place of the first, and how many of them are at the ring's
/// beginning.
fn pieces(index: u32, count: usize, size: usize) -> (usize, usize) {
    // Sizes are powers of two, so the modulus holds over the index's wrap-around.
    let first = index as usize % size;
    (first, (first + count).saturating_sub(size))
}

/// A number of bytes in a ring.
fn in_u32(count: usize) -> u32 {
    debug_assert!(count <= OUT_SIZE);
    count as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Shared {
        Shared::anonymous(4096).unwrap()
    }

    fn indices(page: &Shared) -> [u32; 4] {
        [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD].map(|index| page.load_u32(index))
    }

    #[test]
    fn what_the_guest_writes_is_taken_and_then_released() {
        let page = page();
        let mut ring = Ring::attach(&page);
        page.write(OUT, b"hello");
        page.store_u32(OUT_PROD, 5);
        let mut bytes = [0; OUT_SIZE];
        assert!(ring.has_more(&page));
        assert_eq!(ring.take(&page, &mut bytes), Taken::Bytes(5));
        assert_eq!(&bytes[..5], b"hello");
        assert!(!ring.has_more(&page));
        assert_eq!(indices(&page), [0, 0, 0, 5], "told before it was released");
        ring.release(&page);
        assert_eq!(indices(&page), [0, 0, 5, 5]);
        assert_eq!(ring.take(&page, &mut bytes), Taken::Bytes(0));
    }

    #[test]
    fn a_backend_that_ends_between_take_and_release_leaves_all_to_its_successor() {
        let page = page();
        page.write(OUT, b"once");
        page.store_u32(OUT_PROD, 4);
        let mut bytes = [0; OUT_SIZE];
        assert_eq!(Ring::attach(&page).take(&page, &mut bytes), Taken::Bytes(4));
        let mut successor = Ring::attach(&page);
        assert_eq!(successor.take(&page, &mut bytes), Taken::Bytes(4));
        successor.release(&page);
        assert_eq!(Ring::attach(&page).take(&page, &mut bytes), Taken::Bytes(0));
    }

    #[test]
    fn a_ring_is_taken_piece_by_piece_and_over_its_end() {
        let page = page();
        page.store_u32(OUT_CONS, u32::MAX - 2);
        page.store_u32(OUT_PROD, 4);
        page.write(OUT + OUT_SIZE - 3, b"abc");
        page.write(OUT, b"defg");
        let mut ring = Ring::attach(&page);
        let mut taken: Vec<u8> = Vec::new();
        let mut bytes = [0; 2];
        while let Taken::Bytes(count @ 1..) = ring.take(&page, &mut bytes) {
            taken.extend(&bytes[..count]);
        }
        assert_eq!(taken, b"abcdefg");
        ring.release(&page);
        assert_eq!(page.load_u32(OUT_CONS), 4);
    }

    #[test]
    fn what_is_typed_is_there_as_far_as_there_is_room() {
        let page = page();
        page.store_u32(IN_CONS, u32::MAX);
        page.store_u32(IN_PROD, u32::MAX);
        let mut ring = Ring::attach(&page);
        assert_eq!(ring.room(&page), IN_SIZE);
        assert_eq!(ring.put(&page, b"ab"), 2);
        let mut typed = [0; 2];
        page.read(IN + IN_SIZE - 1, &mut typed[..1]);
        page.read(IN, &mut typed[1..]);
        assert_eq!(&typed, b"ab");
        assert_eq!(page.load_u32(IN_PROD), 1);
        assert_eq!(ring.put(&page, &[b'x'; 2000]), IN_SIZE - 2);
        assert_eq!((ring.room(&page), ring.put(&page, b"y")), (0, 0));
        page.store_u32(IN_CONS, 1);
        assert_eq!(ring.room(&page), 2);
    }

    #[test]
    fn impossible_indices_are_passed_over() {
        let page = page();
        let mut ring = Ring::attach(&page);
        let mut bytes = [0; 4096];
        for impossible in [OUT_SIZE as u32 + 1, 1 << 31, u32::MAX] {
            page.store_u32(OUT_PROD, impossible);
            assert_eq!(ring.take(&page, &mut bytes), Taken::Impossible, "{impossible}");
        }
        for impossible in [1, 1 << 31, u32::MAX - IN_SIZE as u32] {
            page.store_u32(IN_CONS, impossible);
            assert_eq!((ring.room(&page), ring.put(&page, b"x")), (0, 0), "{impossible}");
        }
        page.store_u32(OUT_PROD, OUT_SIZE as u32);
        page.store_u32(IN_CONS, 0);
        assert_eq!(ring.take(&page, &mut bytes), Taken::Bytes(OUT_SIZE));
        assert_eq!(ring.put(&page, b"x"), 1);
    }

    #[test]
    fn what_the_guest_writes_over_the_backends_indices_counts_for_nothing() {
        let page = page();
        let mut ring = Ring::attach(&page);
        page.write(OUT, b"one");
        page.store_u32(OUT_PROD, 3);
        page.store_u32(OUT_CONS, 1);
        page.store_u32(IN_PROD, 77);
        let mut bytes = [0; OUT_SIZE];
        assert_eq!(ring.take(&page, &mut bytes), Taken::Bytes(3));
        ring.release(&page);
        assert_eq!(ring.put(&page, b"x"), 1);
        assert_eq!(indices(&page), [0, 1, 3, 3]);
    }

    #[test]
    fn a_page_with_impossible_indices_is_gone_on_with_behind_them() {
        let page = page();
        page.store_u32(OUT_CONS, 5);
        page.store_u32(OUT_PROD, 4);
        page.store_u32(IN_PROD, 3000);
        page.store_u32(IN_CONS, 1);
        let mut ring = Ring::attach(&page);
        assert_eq!(ring.take(&page, &mut [0; 8]), Taken::Bytes(0));
        assert_eq!(ring.room(&page), IN_SIZE);
        ring.release(&page);
        ring.put(&page, b"x");
        assert_eq!(indices(&page), [1, 2, 4, 4]);
    }

    #[test]
    fn the_guest_learns_that_a_backend_is_there() {
        let page = page();
        page.store_u8(CONNECTION, 1);
        page.store_u8(CONNECTION + 1, 9);
        Ring::attach(&page).connect(&page);
        let mut bytes = [7; 2];
        page.read(CONNECTION, &mut bytes);
        assert_eq!(bytes, [CONNECTED, 9]);
    }
}
