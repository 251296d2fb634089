//! The body of the fuzz target fuzz/fuzz_targets/lines.rs, without a fuzzer: the same bytes every time.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[path = "../../../fuzz/bodies/lines.rs"]
mod lines;

#[test]
fn any_bytes_in_any_pieces() {
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    // Small pieces with a line's end now and then, and large ones.
    let byte = prop_oneof![1 => Just(b'\n'), 9 => any::<u8>()];
    let piece = (any::<u8>(), prop::collection::vec(byte, 0..60)).prop_map(|(how, bytes)| {
        let len = u8::try_from(bytes.len() / 8).unwrap() << 2 | how & 3;
        [&[len][..], &bytes].concat()
    });
    let input = (1u8..60, any::<u8>(), prop::collection::vec(piece, 0..25));
    let done = runner.run(&input, |(limit, copies, pieces)| {
        lines::check(&[&[limit, copies][..], &pieces.concat()].concat());
        Ok(())
    });
    done.unwrap();
}
