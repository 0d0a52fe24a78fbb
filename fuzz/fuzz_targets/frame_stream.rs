//! cargo-fuzz target `frame_stream`: its body stands in `fuzz/bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| darkchat_fuzz_bodies::frame_stream(data));
