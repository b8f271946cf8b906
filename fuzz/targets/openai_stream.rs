//! Fuzzes the reading of a stream in OpenAI's format.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::openai_stream(input));
