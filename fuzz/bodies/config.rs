//! What has to hold for any text as configuration. A body of its own, so that the fuzzer and the tests of the `logproto` crate,
//! which need no fuzzer, check the same.

use std::time::Duration;

use logproto::Config;

/// Reads `data` as a configuration.
///
/// # Panics
/// If something does not hold.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let config = match Config::parse(&text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().trim().is_empty(), "an error that says nothing");
            return;
        }
    };
    let Config { defaults, bounds, daemon, qemu } = &config;
    let limits = bounds.min_limit..=bounds.max_limit;
    assert!(bounds.min_limit > 0 && bounds.max_copies <= 999);
    assert!(limits.contains(&defaults.limit) && defaults.copies <= bounds.max_copies);
    assert!(qemu.limit.is_none_or(|limit| limits.contains(&limit)));
    assert!(qemu.copies.is_none_or(|copies| copies <= bounds.max_copies));
    let day = Duration::from_secs(86_400);
    assert!(daemon.drain <= day && qemu.wait <= day);
    assert_eq!(Config::parse(&text).unwrap(), config);
}
