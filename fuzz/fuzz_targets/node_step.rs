//! cargo-fuzz target `node_step`: its body stands in `fuzz/bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| darkchat_fuzz_bodies::node_step(data));
