//! Keys, pointers, positions and ids of events.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_machine::fuzz::names(bytes));
