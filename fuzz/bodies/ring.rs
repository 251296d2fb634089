//! What has to hold whatever a guest does to its console's page. A body of its own, so that the fuzzer and the tests of the
//! `xenring` crate, which need no fuzzer, check the same.

use xen_sys::shared::Shared;
use xenring::layout::{CONNECTION, IN, IN_CONS, IN_PROD, IN_SIZE, OUT, OUT_CONS, OUT_PROD, OUT_SIZE};
use xenring::{Ring, Taken};

/// The size of the page.
pub const PAGE: usize = 4096;
/// How many bytes of `data` are one step.
pub const STEP: usize = 6;

/// Takes step after step of the guest and of the backend: a byte for what is done, one for where, and four for how much.
/// After each of them, the whole page is as it has to be.
///
/// # Panics
/// If something does not hold.
pub fn check(data: &[u8]) {
    let mut both = Both::new();
    for step in data.as_chunks::<STEP>().0 {
        let [what, place, value @ ..] = *step;
        both.step(what, place, u32::from_le_bytes(value));
        both.compare();
    }
}

/// The guest's page and the backend's ring, and what both have to be.
struct Both {
    page: Shared,
    ring: Ring,
    expected: [u8; PAGE],
    out_cons: u32,
    in_prod: u32,
}

impl Both {
    fn new() -> Both {
        let page = Shared::anonymous(PAGE).unwrap();
        Both { ring: Ring::attach(&page), page, expected: [0; PAGE], out_cons: 0, in_prod: 0 }
    }

    fn step(&mut self, what: u8, place: u8, value: u32) {
        let index = [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD][usize::from(place % 4)];
        let len = value as usize % 5000;
        match what % 8 {
            0 => self.scribble(index, &value.to_ne_bytes()),
            1 => {
                // About as much ahead as can be.
                let own = if index < OUT_CONS { self.in_prod } else { self.out_cons };
                self.scribble(index, &own.wrapping_add(value % 4200).wrapping_sub(2100).to_ne_bytes());
            }
            2 => {
                let bytes: Vec<u8> = (0..=place).map(|at| at.wrapping_mul(31) ^ value as u8).collect();
                self.scribble(value as usize % (PAGE - bytes.len()), &bytes);
            }
            3 => self.take(len),
            4 => {
                self.ring.release(&self.page);
                self.set(OUT_CONS, self.out_cons);
            }
            5 => self.put(place, len),
            6 => {
                self.ring.connect(&self.page);
                self.expected[CONNECTION] = 0;
            }
            _ => self.attach(),
        }
    }

    /// The guest writes.
    fn scribble(&mut self, offset: usize, bytes: &[u8]) {
        self.page.write(offset, bytes);
        self.expected[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn take(&mut self, len: usize) {
        let mut bytes = vec![0xa5; len];
        let taken = self.ring.take(&self.page, &mut bytes);
        let there = self.index(OUT_PROD).wrapping_sub(self.out_cons) as usize;
        if there > OUT_SIZE {
            assert_eq!(taken, Taken::Impossible);
            assert_eq!(bytes, vec![0xa5; len], "copied although there cannot be so much");
            return;
        }
        let count = there.min(len);
        assert_eq!(taken, Taken::Bytes(count));
        let ring = |at: usize| self.expected[OUT + (self.out_cons as usize + at) % OUT_SIZE];
        assert!(bytes[..count].iter().enumerate().all(|(at, byte)| *byte == ring(at)), "other bytes than the guest's");
        assert!(bytes[count..].iter().all(|byte| *byte == 0xa5), "more than it says");
        self.out_cons = self.out_cons.wrapping_add(count as u32);
    }

    fn put(&mut self, seed: u8, len: usize) {
        let bytes: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(17) ^ seed).collect();
        let waiting = self.in_prod.wrapping_sub(self.index(IN_CONS)) as usize;
        let room = IN_SIZE.saturating_sub(waiting);
        assert_eq!(self.ring.room(&self.page), room);
        let count = self.ring.put(&self.page, &bytes);
        assert_eq!(count, room.min(len));
        for (at, byte) in bytes[..count].iter().enumerate() {
            self.expected[IN + (self.in_prod as usize + at) % IN_SIZE] = *byte;
        }
        self.in_prod = self.in_prod.wrapping_add(count as u32);
        self.set(IN_PROD, self.in_prod);
    }

    /// A new backend takes over.
    fn attach(&mut self) {
        self.ring = Ring::attach(&self.page);
        let [in_cons, in_prod, out_cons, out_prod] =
            [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD].map(|index| self.index(index));
        let can_be = |produced: u32, consumed, size| produced.wrapping_sub(consumed) as usize <= size;
        self.in_prod = if can_be(in_prod, in_cons, IN_SIZE) { in_prod } else { in_cons };
        self.out_cons = if can_be(out_prod, out_cons, OUT_SIZE) { out_cons } else { out_prod };
    }

    fn index(&self, offset: usize) -> u32 {
        u32::from_ne_bytes([0, 1, 2, 3].map(|at| self.expected[offset + at]))
    }

    fn set(&mut self, offset: usize, index: u32) {
        self.expected[offset..offset + 4].copy_from_slice(&index.to_ne_bytes());
    }

    fn compare(&self) {
        let mut page = [0; PAGE];
        self.page.read(0, &mut page);
        if page != self.expected {
            let other = page.iter().zip(&self.expected).position(|(is, expected)| is != expected);
            panic!("byte {other:?} of the page is not what it was");
        }
    }
}
