//! See `quorate::fuzzing::hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::hello(bytes));
