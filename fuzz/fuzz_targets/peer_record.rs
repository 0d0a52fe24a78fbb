//! cargo-fuzz target `peer_record`: its body stands in `fuzz/bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| darkchat_fuzz_bodies::peer_record(data));
