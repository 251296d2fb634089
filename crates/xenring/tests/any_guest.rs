//! Guests that write whatever they like wherever they like: they garble their own console, and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use xen_sys::shared::Shared;
use xenring::layout::{END, IN_CONS, IN_PROD, IN_SIZE, OUT_CONS, OUT_PROD, OUT_SIZE};
use xenring::{Ring, Taken};

#[path = "../../../fuzz/bodies/ring.rs"]
mod ring;

/// The body of the fuzz target fuzz/fuzz_targets/ring.rs, without a fuzzer: the same steps every time.
#[test]
fn any_steps() {
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let steps = prop::collection::vec(any::<[u8; ring::STEP]>(), 0..150);
    let done = runner.run(&steps, |steps| {
        ring::check(&steps.concat());
        Ok(())
    });
    done.unwrap();
}

/// The guest writes while the backend looks: what was read once has to be what is used.
#[test]
fn a_guest_that_writes_everywhere_at_any_time() {
    const ROUNDS: usize = 300_000;
    let memory = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, ring::PAGE as u64).unwrap();
    // Each side has its own mapping, as two domains have.
    let map = || Shared::of_file(&memory, ring::PAGE).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let page = map();
            // Xorshift: it is to be quick.
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            while !done.load(Ordering::Relaxed) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let value = (random >> 32) as u32;
                let index = [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD][random as usize % 4];
                match random >> 8 & 3 {
                    0 => page.store_u32(index, value),
                    1 => page.store_u32(index, value % 2100),
                    2 => page.store_u32(index, page.load_u32(index ^ 4).wrapping_add(value % 2100)),
                    _ => page.write(value as usize % (END - 8), &random.to_ne_bytes()),
                }
            }
        });
        let page = map();
        // The guest is told to end even when the backend panics.
        let _end = AtEnd(&done);
        let mut ring = Ring::attach(&page);
        let mut looks = [0; 3];
        for round in 0..ROUNDS {
            let mut bytes = [0xa5; OUT_SIZE + 64];
            // The guest may write this byte, too, but not behind what was taken.
            match ring.take(&page, &mut bytes) {
                Taken::Bytes(0) => looks[0] += 1,
                Taken::Bytes(count) => {
                    assert!(count <= OUT_SIZE, "more than a ring");
                    assert!(bytes[count..].iter().all(|byte| *byte == 0xa5), "more than it says");
                    looks[1] += 1;
                }
                Taken::Impossible => looks[2] += 1,
            }
            ring.release(&page);
            assert!(ring.put(&page, &bytes[..round % 1100]) <= IN_SIZE, "more than a ring");
            if round % 64 == 0 {
                ring = Ring::attach(&page);
            }
        }
        assert!(looks.iter().all(|looks| *looks > 0), "the guest did not do all that it can: {looks:?}");
    });
}

/// Sets what it refers to when it is dropped.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
