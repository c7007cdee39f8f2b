//! libFuzzer's way into `intertrunk_fuzz::bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| intertrunk_fuzz::bytes(data));
