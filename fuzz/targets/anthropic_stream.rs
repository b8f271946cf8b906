//! Fuzzes the reading of a stream in Anthropic's format.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::anthropic_stream(input));
