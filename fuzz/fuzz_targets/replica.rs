//! See `quorate::fuzzing::replica`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::replica(bytes));
