//! See `quorate::fuzzing::log_recovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::log_recovery(bytes));
