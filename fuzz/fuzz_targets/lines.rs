//! Any bytes, in any pieces, into a log.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/lines.rs"]
mod lines;

fuzz_target!(|data: &[u8]| lines::check(data));
