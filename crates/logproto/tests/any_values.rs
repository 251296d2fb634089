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
    const KEYS: [(&str, &[&str]); 4] = [
        ("defaults", &["limit", "copies", "policy", "timestamp"]),
        ("bounds", &["min-limit", "max-limit", "max-copies", "logs-per-domain", "logs-of-host", "logs"]),
        ("daemon", &["drain-seconds", "rate", "burst"]),
        ("qemu", &["path", "limit", "copies", "wait-seconds"]),
    ];
    let value = prop_oneof![
        12 => "[0-9]{1,8}|\"[0-9]{1,7}[kKMG]\"",
        1 => "\"(drop|block|line|none|/x|[0-9]{20})\"|-[0-9]{1,3}|true|[0-9]{18,20}|\\[\\]|\"",
    ];
    let key = KEYS.iter().map(|(_, keys)| keys.len()).sum::<usize>();
    let configurations = prop::collection::vec(prop::option::weighted(0.2, value), key);
    check(6_000, &configurations, |values| {
        let mut values = values.into_iter();
        let parts = KEYS.map(|(part, keys)| {
            let lines = keys.iter().zip(&mut values).filter_map(|(key, value)| Some(format!("{key} = {}\n", value?)));
            format!("[{part}]\n{}", lines.collect::<String>())
        });
        config::check(parts.concat().as_bytes());
    });
    check(2_000, &prop::collection::vec(any::<u8>(), 0..200), |bytes| config::check(&bytes));
}
