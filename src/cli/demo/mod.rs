//! `weir demo`: a gateway before simulated providers with faults, its traffic, a running commentary.

mod client;
mod commentary;
mod gateway;
mod questions;
mod readings;
mod screen;
mod show;
mod story;
mod tally;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use clap::Args;

use super::{report, sim::stopped};
use crate::{
    base::clock::Clock,
    config::{Config, Faults, HedgeAfter, Loaded, Span, load_over},
    egress::Listener,
    ledger::report::{By, Period, Question},
};
use gateway::Gateway;
use screen::Screen;
use show::{Manner, Show};

/// The configuration that it runs; a shipped example like the others.
const TEXT: &str = include_str!("../../../config/examples/demo.toml");
/// How it is called in faults.
const NAME: &str = "demo.toml (built in)";
/// How long a client of the demo waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// See it all work: a gateway, four simulated providers, traffic, an outage and its end, a budget that runs out. No keys,
/// nothing leaves this machine, nothing is left behind.
///
/// The story takes less than two minutes, then begins anew. Files given by --config are laid over the demo's own
/// configuration.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// When to end, like 2m; absent: with Ctrl-C
    #[arg(long, value_name = "SPAN", value_parser = Span::parse)]
    duration: Option<Span>,
    /// End when the story has been told once
    #[arg(long)]
    once: bool,
    /// Requests a second
    #[arg(long, value_name = "N", default_value = "6", value_parser = between::<1, 200>)]
    rate: f64,
    /// So many times as fast: the story, its traffic, the providers, the patience of the gateway
    #[arg(long, value_name = "N", default_value = "1", value_parser = between::<1, 20>)]
    speed: f64,
    /// What chance goes by: who asks what, which answers fail
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print the configuration that it runs, and end
    #[arg(long)]
    print_config: bool,
}

fn between<const LEAST: u32, const MOST: u32>(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (f64::from(LEAST)..=f64::from(MOST)).contains(&number) => Ok(number),
        _ => Err(format!("write a number from {LEAST} to {MOST}")),
    }
}

/// Runs the demo.
///
/// # Errors
/// Why it cannot.
pub fn run(files: Vec<PathBuf>, args: DemoArgs) -> Result<(), String> {
    if args.print_config {
        return told(write!(io::stdout(), "{TEXT}"));
    }
    let read = {
        let args = args.clone();
        move || configuration(&files, &args)
    };
    let loaded = read().map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    super::log::start(&loaded.config.telemetry)?;
    super::serve::raise_open_files();
    super::block_on(play(loaded, read, args))
}

/// What it runs: its own configuration with the files over it, where nothing is left behind.
fn configuration(files: &[PathBuf], args: &DemoArgs) -> Result<Loaded, Faults> {
    let mut loaded = load_over(NAME, TEXT, files)?;
    let config = &mut loaded.config;
    config.server.listen = args.listen.to_string();
    config.server.admin_listen = String::new();
    config.server.tls = None;
    config.ledger.url = "sqlite::memory:".into();
    for provider in config.providers.values_mut() {
        provider.sim.seed = provider.sim.seed.wrapping_add(args.seed.wrapping_mul(1000));
    }
    quicken(config, args.speed);
    Ok(loaded)
}

/// Makes all that waits or takes its time so many times as fast.
fn quicken(config: &mut Config, speed: f64) {
    let faster = |span: &mut Span| span.0 = span.0.div_f64(speed);
    let breaker = &mut config.breaker;
    for span in [
        &mut breaker.window,
        &mut breaker.open_min,
        &mut breaker.open_max,
        &mut breaker.forgive_after,
        &mut breaker.slow_start,
        &mut breaker.limit_min,
        &mut breaker.limit_max,
    ] {
        faster(span);
    }
    for provider in config.providers.values_mut() {
        faster(&mut provider.sim.first_token);
        provider.sim.tokens_per_second *= speed;
    }
    for route in config.routes.values_mut() {
        if let HedgeAfter::Time(span) = &mut route.hedge_after {
            faster(span);
        }
    }
}

async fn play(
    loaded: Loaded,
    read: impl Fn() -> Result<Loaded, Faults> + Send + Sync + 'static,
    args: DemoArgs,
) -> Result<(), String> {
    let stop = stopped();
    let (gateway, news) = Gateway::start(loaded, read).await?;
    let gateway = Arc::new(gateway);
    let manner = Manner {
        speed: args.speed,
        rate: args.rate,
        seed: args.seed,
        duration: args.duration.map(|span| span.0),
        once: args.once,
    };
    let mut screen = Screen::stdout();
    let welcomed = screen.say(&welcome(&gateway));
    let (mut show, mut met) = Show::new(Arc::clone(&gateway), Listener::new(PATIENCE)?, manner, screen);
    let shown = async {
        welcomed?;
        let why = show.run(news, &mut met, pin!(stop)).await?;
        show.end(&mut met, why).await
    };
    let shown = shown.await;
    let shown = match shown {
        Ok(()) => bill(&gateway, &mut show).await,
        Err(error) => told(Err(error)),
    };
    drop((show, met));
    if let Some(gateway) = Arc::into_inner(gateway) {
        gateway.close().await;
    }
    shown
}

/// The bill of the demo, as `weir report` prints it.
async fn bill(gateway: &Gateway, show: &mut Show<io::Stdout>) -> Result<(), String> {
    let now = Clock::system().millis();
    let period = Period::new(0, None, now)?;
    let question = Question { period, by: By::Model, now };
    let summary = gateway.state.0.till.ledger.books().report(question).await;
    let summary = summary.map_err(|error| error.to_string())?;
    let out = show.screen().out();
    told(report::groups(&summary, out).and_then(|()| out.flush()))
}

/// A failed print as a reason; that nobody reads any more, as behind `head`, is none.
fn told(printed: io::Result<()>) -> Result<(), String> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|error| format!("the demo cannot go on: {error}")),
    }
}

/// What stands above the story.
fn welcome(gateway: &Gateway) -> String {
    format!(
        "weir demo: a gateway, four simulated providers, traffic. No keys; nothing leaves this machine.\n\n  \
         dashboard  {}\n  metrics    {}\n  try it     curl {} -H 'content-type: application/json' \\\n               \
         -d '{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n  \
         tiny    at the provider limited  $0.10 / $0.40 a million tokens in / out; asks for pauses\n  \
         medium  at the provider flaky    $0.60 / $2.40; fails now and then, some days always\n  \
         deep    at the provider slow     $2.00 / $8.00; sound, takes its time\n  \
         grand   at the provider costly   $5.00 / $25.00; expensive, good\n\n\
         Ctrl-C ends it. `weir demo --print-config` shows the configuration behind it.",
        gateway.url("/dashboard"),
        gateway.url("/metrics"),
        gateway.url("/v1/chat/completions"),
    )
}
