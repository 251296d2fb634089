//! The daemon beside its peers, on the same work in one run.
#![forbid(unsafe_code)]

mod figure;
mod works;

fn main() {}
