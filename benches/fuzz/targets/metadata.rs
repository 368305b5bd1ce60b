//! `metadata` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_benches::targets::run("metadata", data));
