//! libFuzzer's way into `intertrunk_fuzz::calls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| intertrunk_fuzz::calls(data));
