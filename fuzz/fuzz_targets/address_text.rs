//! cargo-fuzz target `address_text`: its body stands in `fuzz/bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| darkchat_fuzz_bodies::address_text(data));
