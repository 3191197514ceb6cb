//! What a client sends on an HTTP/1 connection.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_gateway::fuzz::head(bytes));
