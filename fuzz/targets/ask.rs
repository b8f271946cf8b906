//! Fuzzes the reading of a client's request.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::ask(input));
