//! Any bytes as what a store or a client sends.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/xenstore_wire.rs"]
mod xenstore_wire;

fuzz_target!(|data: &[u8]| xenstore_wire::check(data));
