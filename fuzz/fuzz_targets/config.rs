//! Any text as a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/config.rs"]
mod config;

fuzz_target!(|data: &[u8]| config::check(data));
