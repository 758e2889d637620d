//! See `quorate::fuzzing::session_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::session_table(bytes));
