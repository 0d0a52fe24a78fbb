//! cargo-fuzz target `dm_session`: its body stands in `fuzz/bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| darkchat_fuzz_bodies::dm_session(data));
