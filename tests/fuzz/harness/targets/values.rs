//! libFuzzer's way into `intertrunk_fuzz::values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| intertrunk_fuzz::values(data));
