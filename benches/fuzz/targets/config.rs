//! The configuration under libFuzzer: any text is checked, and each fault names its place.
#![no_main]
#![allow(dead_code, unused_imports, missing_docs, reason = "the program's own module, of which only the check is used")]

#[path = "../../../crates/offhook/src/config/mod.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data)
        && let Err(faults) = config::check_text(std::path::Path::new("fuzz.toml"), text)
    {
        assert!(!faults.to_string().is_empty(), "a configuration is refused without a word");
    }
});
