//! A local log whose files are changed.

#![no_main]

libfuzzer_sys::fuzz_target!(|changes: &[u8]| mainstay_log::fuzz::segments(changes));
