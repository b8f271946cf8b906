//! Fuzzes the reading of whole answers of every protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::answers(input));
