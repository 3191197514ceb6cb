//! A document and the index and the expression by which it is searched for.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_machine::fuzz::index(bytes));
