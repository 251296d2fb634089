//! With a guest that keeps to the rules, every byte arrives, once, in order, in both directions, and over the indices'
//! wrap-around.

use std::thread;
use std::time::Instant;

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use xen_sys::shared::Shared;
use xenring::layout::{IN, IN_CONS, IN_PROD, IN_SIZE, OUT, OUT_CONS, OUT_PROD, OUT_SIZE};
use xenring::{Ring, Taken};

const PAGE: usize = 4096;

/// The guest's end, as simple as can be: byte by byte, every index always from the page.
struct Guest {
    page: Shared,
    /// How many bytes it has written, and read, of the two streams.
    written: usize,
    read: usize,
}

impl Guest {
    /// Writes the stream's next bytes, at most so many, as far as there is room. Answers with how many.
    fn write(&mut self, most: usize) -> usize {
        let mut prod = self.page.load_u32(OUT_PROD);
        let room = OUT_SIZE - prod.wrapping_sub(self.page.load_u32(OUT_CONS)) as usize;
        let count = room.min(most);
        for _ in 0..count {
            self.page.write(OUT + prod as usize % OUT_SIZE, &[byte_of(self.written)]);
            self.written += 1;
            prod = prod.wrapping_add(1);
        }
        self.page.store_u32(OUT_PROD, prod);
        count
    }

    /// Reads at most so many bytes that were typed, which have to be the stream's next ones. Answers with how many.
    fn read(&mut self, most: usize) -> usize {
        let mut cons = self.page.load_u32(IN_CONS);
        let count = (self.page.load_u32(IN_PROD).wrapping_sub(cons) as usize).min(most);
        for _ in 0..count {
            let mut byte = [0];
            self.page.read(IN + cons as usize % IN_SIZE, &mut byte);
            assert_eq!(byte, [byte_of(self.read)], "byte {} that was typed", self.read);
            self.read += 1;
            cons = cons.wrapping_add(1);
        }
        self.page.store_u32(IN_CONS, cons);
        count
    }
}

/// The backend's end.
struct Backend {
    page: Shared,
    ring: Ring,
    taken: usize,
    typed: usize,
}

impl Backend {
    /// Takes at most so many bytes, which have to be the stream's next ones. Answers with how many.
    fn take(&mut self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        let Taken::Bytes(count) = self.ring.take(&self.page, &mut bytes) else { panic!("impossible") };
        for byte in &bytes[..count] {
            assert_eq!(*byte, byte_of(self.taken), "byte {} of the guest", self.taken);
            self.taken += 1;
        }
        count
    }

    /// Types the stream's next bytes, at most so many. Answers with how many.
    fn put(&mut self, most: usize) -> usize {
        let bytes: Vec<u8> = (self.typed..self.typed + most).map(byte_of).collect();
        let count = self.ring.put(&self.page, &bytes);
        self.typed += count;
        count
    }
}

/// The byte at this place of a stream: one ring's bytes are not those of the next.
fn byte_of(place: usize) -> u8 {
    (place % 251) as u8
}

/// Both ends of a new page whose indices begin with these, each with its own mapping.
fn ends(out: u32, typed: u32) -> (Guest, Backend) {
    let memory = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, PAGE as u64).unwrap();
    let [guests, own] = [(); 2].map(|()| Shared::of_file(&memory, PAGE).unwrap());
    guests.store_u32(OUT_PROD, out);
    guests.store_u32(OUT_CONS, out);
    guests.store_u32(IN_PROD, typed);
    guests.store_u32(IN_CONS, typed);
    let ring = Ring::attach(&own);
    (Guest { page: guests, written: 0, read: 0 }, Backend { page: own, ring, taken: 0, typed: 0 })
}

/// Where indices begin: anywhere, and more often shortly before the wrap-around.
fn index() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (0..4096_u32).prop_map(|before| before.wrapping_neg())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_steps(out in index(), typed in index(), steps in prop::collection::vec((0..6, 0..3000_usize), 1..100)) {
        let (mut guest, mut backend) = ends(out, typed);
        for (what, most) in steps {
            match what {
                0 => _ = guest.write(most),
                1 => _ = guest.read(most),
                2 => _ = backend.take(most),
                3 => backend.ring.release(&backend.page),
                4 => _ = backend.put(most),
                _ => {
                    // A successor, after all that was taken has been released.
                    backend.ring.release(&backend.page);
                    let before = backend.ring.clone();
                    backend.ring = Ring::attach(&backend.page);
                    prop_assert_eq!(&backend.ring, &before);
                }
            }
        }
        backend.take(OUT_SIZE);
        guest.read(IN_SIZE);
        prop_assert_eq!((backend.taken, guest.read), (guest.written, backend.typed));
    }
}

#[test]
fn at_the_same_time() {
    const STREAM: usize = 1 << 19;
    // Over the wrap-around in the middle.
    let before = (STREAM as u32 / 2).wrapping_neg();
    let (mut guest, mut backend) = ends(before, before);
    let start = Instant::now();
    let turn = |progress: usize| {
        if progress == 0 {
            assert!(start.elapsed() < testbed::PATIENCE, "one end has waited in vain for the other");
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while guest.written < STREAM || guest.read < STREAM {
                turn(guest.write((STREAM - guest.written).min(700)) + guest.read(300));
            }
        });
        while backend.taken < STREAM || backend.typed < STREAM {
            let taken = backend.take(1500);
            backend.ring.release(&backend.page);
            turn(taken + backend.put((STREAM - backend.typed).min(1000)));
        }
    });
    assert_eq!((backend.taken, guest.read), (STREAM, STREAM));
}
