//! See `quorate::fuzzing::snapshot_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::snapshot_files(bytes));
