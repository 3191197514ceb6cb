//! Two schemas and a document.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_machine::fuzz::schema(bytes));
