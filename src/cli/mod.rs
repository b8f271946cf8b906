//! The command line: one file a subcommand.

mod calibrate;
pub mod check;
mod classify;
mod completions;
mod demo;
mod estimate;
mod health;
pub mod keys;
mod lines;
mod log;
mod pair;
mod report;
mod serve;
pub mod sim;

use std::{io, num::NonZero, path::PathBuf, process::ExitCode, thread::available_parallelism};

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

/// An OpenAI-compatible LLM gateway: failover, routing and metrics in one small binary.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, propagate_version = true)]
struct Cli {
    /// A configuration file; later ones override earlier ones. Without any: config/weir.toml if it is there,
    /// else the built-in defaults.
    #[arg(long, value_name = "FILE", global = true)]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; this is what `weir` alone does too.
    Serve,
    /// Validate the configuration offline and print what follows from it.
    Check,
    /// See it all work: simulated providers with faults, traffic, a running commentary.
    Demo(demo::DemoArgs),
    /// Run the simulated provider as a server of its own.
    Sim(Box<sim::SimArgs>),
    /// Make, list and revoke virtual keys.
    Keys(keys::KeysArgs),
    /// Print spend, savings, what fallbacks cost, availability.
    Report(report::ReportArgs),
    /// Say what the classifier thinks of prompts: task, complexity, tier.
    Classify(classify::ClassifyArgs),
    /// Say what a batch of prompts would cost, beside the baseline.
    Estimate(estimate::EstimateArgs),
    /// Fit the classifier to labelled prompts of your own.
    Calibrate(calibrate::CalibrateArgs),
    /// Ask a running gateway whether it is alive; for container health checks.
    Health(health::HealthArgs),
    /// Print the completion script of a shell.
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(cli.config),
        Command::Check => check::run(&cli.config, &mut io::stdout().lock())
            .map_err(|error| error.to_string())
            .and_then(|good| if good { Ok(()) } else { Err(String::new()) }),
        Command::Demo(args) => demo::run(cli.config, args),
        Command::Sim(args) => log::start_default().and_then(|()| block_on(sim::run(*args))),
        Command::Keys(args) => {
            block_on(keys::run(&cli.config, &args, &mut io::stdout().lock(), &mut io::stderr().lock()))
        }
        Command::Report(args) => report::run(&cli.config, &args, &mut io::stdout().lock()),
        Command::Classify(args) => {
            classify::run(&cli.config, &args, &mut io::stdin().lock(), &mut io::stdout().lock())
        }
        Command::Estimate(args) => estimate::run(&cli.config, &args, &mut io::stdout().lock()),
        Command::Calibrate(args) => calibrate::run(&cli.config, &args, &mut io::stdout().lock()),
        Command::Health(args) => block_on(health::run(&cli.config, args)),
        Command::Completions(args) => completions::run::<Cli>(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that waits for things. Where there is one core there is one thread: nobody can take work over from it,
/// and being ready for that costs a tenth of a request.
fn block_on(task: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let alone = available_parallelism().is_ok_and(|cores| cores == NonZero::<usize>::MIN);
    let mut runtime = if alone { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = runtime.enable_all().build();
    runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(task)
}

/// Prints why a command failed; an empty message was told already.
fn complain(message: &str) {
    use io::Write as _;
    if !message.is_empty() {
        // If even stderr is closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "weir: {message}");
    }
}
