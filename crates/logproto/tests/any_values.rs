//! The bodies of the fuzz targets fuzz/fuzz_targets/entry.rs and config.rs, without a fuzzer: the same bytes every time.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[path = "../../../fuzz/bodies/config.rs"]
mod config;
#[path = "../../../fuzz/bodies/entry.rs"]
mod entry;

/// Has so many inputs checked, which are the same in every run.
fn check<S: Strategy>(cases: u32, inputs: &S, check: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let done = runner.run(inputs, |input| {
        check(input);
        Ok(())
    });
    done.unwrap();
}

/// A piece of the entry's input: its length and 1, and the value.
fn piece(value: Option<Vec<u8>>) -> Vec<u8> {
    let Some(value) = value else { return vec![0; 2] };
    let len = u16::try_from(value.len() + 1).unwrap();
    [&len.to_le_bytes()[..], &value].concat()
}

/// Values that are right, nearly right, or nothing of the kind.
fn values(right: &'static str, nearly: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let right = prop::string::string_regex(right).unwrap().prop_map(String::into_bytes);
    let nearly = prop::string::string_regex(nearly).unwrap().prop_map(String::into_bytes);
    prop_oneof![4 => right, 2 => nearly, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

#[test]
fn any_entry() {
    let name = values("[a-zA-Z0-9_-]{1,64}", r"[a-c.@/ \n]{0,70}").prop_map(|value| piece(Some(value)));
    let path = || values("\u{1}[a-c]{1,3}(/[a-c.é]{1,3}){0,2}", r"(\x01|/run/|/var/log/)[a./\n]{0,9}(x{250,256})?");
    let node = |values| prop::option::weighted(0.9, values).prop_map(piece);
    let pipe = node(path().boxed());
    let file = node(path().boxed());
    let limit = node(values("[0-9]{4,11}", "[+ -]?[0-9]{0,22}[kK\n]?").boxed());
    let copies = node(values("[0-9]{1,2}", "[+ -]?[0-9]{0,12}").boxed());
    let policy = node(values("drop|block", "Drop|block\n|").boxed());
    let stamp = node(values("none|line", "never").boxed());
    let entries = (any::<[u8; 2]>(), name, pipe, file, limit, copies, policy, stamp);
    check(6_000, &entries, |(owner, name, pipe, file, limit, copies, policy, stamp)| {
        entry::check(&[&owner[..], &name, &pipe, &file, &limit, &copies, &policy, &stamp].concat());
    });
    check(2_000, &prop::collection::vec(any::<u8>(), 0..300), |bytes| entry::check(&bytes));
}

#[test]
fn any_configuration() {
    let key = prop::sample::select(vec![
        "limit",
        "copies",
        "policy",
        "min-limit",
        "max-limit",
        "max-copies",
        "logs",
        "drain-seconds",
        "rate",
        "burst",
        "path",
        "wait-seconds",
        "nonsense",
    ]);
    let value = prop_oneof![
        "[0-9]{1,6}",
        "\"[0-9]{1,20}[kKMG]?\"",
        "\"(drop|block|line|none|/x)\"",
        "-[0-9]{1,3}|true|[0-9]{18,20}|\\[\\]|\"",
    ];
    let part = prop::sample::select(vec!["", "[defaults]", "[bounds]", "[daemon]", "[qemu]", "[other]"]);
    let line = prop_oneof![
        1 => part.prop_map(str::to_owned),
        3 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
    ];
    check(6_000, &prop::collection::vec(line, 0..8), |lines| config::check(lines.join("\n").as_bytes()));
    check(2_000, &prop::collection::vec(any::<u8>(), 0..200), |bytes| config::check(&bytes));
}
