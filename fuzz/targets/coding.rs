//! What a client sends as a coded body.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_gateway::fuzz::coding(bytes));
