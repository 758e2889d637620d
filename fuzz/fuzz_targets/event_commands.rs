//! See `quorate::fuzzing::event_commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quorate::fuzzing::event_commands(bytes));
