//! Any values as the nodes of an entry.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/entry.rs"]
mod entry;

fuzz_target!(|data: &[u8]| entry::check(data));
