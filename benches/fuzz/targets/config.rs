//! The configuration under libFuzzer: any text is checked, and each fault names its place.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data)
        && let Some(faults) = offhook::faults_of(text)
    {
        assert!(!faults.is_empty(), "a configuration is refused without a word");
    }
});
