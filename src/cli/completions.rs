//! `weir completions SHELL`.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments of `weir completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub fn run<C: CommandFactory>(args: &CompletionsArgs) -> Result<(), String> {
    clap_complete::generate(args.shell, &mut C::command(), "weir", &mut io::stdout());
    Ok(())
}
