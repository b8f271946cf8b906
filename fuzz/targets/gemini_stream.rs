//! Fuzzes the reading of a stream in Gemini's format.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::gemini_stream(input));
