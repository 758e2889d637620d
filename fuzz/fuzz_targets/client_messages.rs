//! See `quorate::fuzzing::client_messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::client_messages(bytes));
