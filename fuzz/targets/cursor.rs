//! A cursor of a listing.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_api::fuzz::cursor(bytes));
