//! The requests of the example's clients; see `tests/resp.rs`.
#![no_main]

#[path = "../../tests/resp/laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| laws::resp(bytes));
