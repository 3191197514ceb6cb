//! JSON, and a patch of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_machine::fuzz::json(bytes));
