//! The body of the fuzz target fuzz/fuzz_targets/xenstore_wire.rs, without a fuzzer: the same bytes every time.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use xenstore::wire::Kind;
use xenstore::wire::Message;

#[path = "../../../fuzz/bodies/xenstore_wire.rs"]
mod xenstore_wire;

/// A runner whose inputs are the same in every run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Messages of all types with payloads as they occur, and some that do not.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let payload = prop_oneof![
        "(/[a-z]{1,3}){1,3}".prop_map(|path| format!("{path}\0token\0").into_bytes()),
        prop::collection::vec("[a-z0-9-]{0,4}", 0..4).prop_map(|names| names.join("\0").into_bytes()),
        prop_oneof!["ENOENT\0", "E2BIG\0", "OK\0", "T\0", "12\0", "n0\0r5\0"].prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..64),
    ];
    let message = (0u32..26, any::<u32>(), any::<u32>(), payload).prop_map(|(kind, request, tx, payload)| Message {
        kind: Kind(kind),
        request,
        tx,
        payload,
    });
    prop::collection::vec(message, 1..6)
}

#[test]
fn any_bytes() {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    runner(4_000)
        .run(&bytes, |data| {
            xenstore_wire::check(&data);
            Ok(())
        })
        .unwrap();
}

#[test]
fn messages_with_some_bytes_changed() {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let input = (any::<[u8; 4]>(), messages(), flips, any::<prop::sample::Index>());
    runner(4_000)
        .run(&input, |(pieces, messages, flips, end)| {
            let mut data = pieces.to_vec();
            for message in &messages {
                message.encode(&mut data).unwrap();
            }
            for (place, byte) in flips {
                let place = place.index(data.len());
                data[place] = byte;
            }
            data.truncate(4 + end.index(data.len()));
            xenstore_wire::check(&data);
            Ok(())
        })
        .unwrap();
}
