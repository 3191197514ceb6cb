//! An expression and the JSON that it is about.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_machine::fuzz::expression(bytes));
