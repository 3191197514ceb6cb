//! Any bytes as a record.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_log::fuzz::record(bytes));
