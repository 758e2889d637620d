//! See `quorate::fuzzing::engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::engine(bytes));
