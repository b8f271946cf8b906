//! Lays OpenAI's `o200k` vocabulary out as a table that is used where it lies in the binary.
#![allow(clippy::print_stdout, reason = "so a build script talks to cargo")]

use std::{env, fs, path::Path};

#[path = "src/base/tokens/layout.rs"]
mod layout;

fn main() {
    let bpe = &bpe_openai::o200k_base().bpe;
    let tokens: Vec<&[u8]> = (0..bpe.num_tokens() as u32).map(|id| bpe.token_bytes(id)).collect();
    let folder = env::var("OUT_DIR").expect("cargo names a folder for what is made");
    fs::write(Path::new(&folder).join("o200k.bin"), layout::build(&tokens))
        .expect("the folder can be written");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/base/tokens/layout.rs");
}
