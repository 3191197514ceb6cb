//! Any bytes as what is stored.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_machine::fuzz::stored(bytes));
