//! See `quorate::fuzzing::event_snapshots`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::event_snapshots(bytes));
