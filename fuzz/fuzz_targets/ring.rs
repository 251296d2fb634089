//! Any guest at a console's page.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/ring.rs"]
mod ring;

fuzz_target!(|data: &[u8]| ring::check(data));
