//! The demo as it runs: chapter by chapter, request by request, line by line.

use std::{
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    client::{self, Met},
    commentary::{Commentary, Look, listed, outcome},
    gateway::Gateway,
    questions,
    readings::Readings,
    screen::{Line, Screen, Tone},
    story::{Asker, Chapter, STORY},
    tally::Tally,
};
use crate::{egress::Listener, news::Told, upstream::word};

/// How often it is looked what is due.
const BEAT: Duration = Duration::from_millis(25);
/// Every so many beats the targets are looked at.
const LOOK: u32 = 4;
/// How often a line says how things stand, at the usual speed.
const STATUS: Duration = Duration::from_secs(5);
/// How many requests may be under way.
const UNDER_WAY: u32 = 512;
/// How many times longer a chapter may last that has not shown yet what it is there for.
const LONGEST: u32 = 4;
/// How many clients make a crowd.
const CROWD: u64 = 20;
/// How long those under way may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// How the demo is run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// So many times as fast as usual.
    pub speed: f64,
    /// Requests a second, at the usual speed.
    pub rate: f64,
    /// What chance goes by.
    pub seed: u64,
    /// When it ends by itself.
    pub duration: Option<Duration>,
    /// Whether it ends with the story.
    pub once: bool,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody said so.
    Stopped,
    /// The time is over.
    Time,
    /// The story is told.
    Told,
}

/// The demo.
pub struct Show<W> {
    gateway: Arc<Gateway>,
    manner: Manner,
    screen: Screen<W>,
    commentary: Commentary,
    tally: Tally,
    readings: Readings,
    /// Those at the beginning of the chapter.
    before: Readings,
    dice: StdRng,
    http: Listener,
    room: Arc<Semaphore>,
    meets: mpsc::Sender<Met>,
    began: Instant,
    round: usize,
    at: usize,
    turned: Instant,
    due: Instant,
}

impl<W: Write> Show<W> {
    /// A demo of a gateway; gives what its clients met too.
    pub fn new(
        gateway: Arc<Gateway>,
        http: Listener,
        manner: Manner,
        screen: Screen<W>,
    ) -> (Self, mpsc::Receiver<Met>) {
        let (meets, met) = mpsc::channel(UNDER_WAY as usize);
        let config = Arc::clone(&gateway.state.snapshot().config);
        let now = Instant::now();
        let show = Self {
            commentary: Commentary::new(&config.routes, manner.speed),
            gateway,
            manner,
            screen,
            tally: Tally::default(),
            readings: Readings::default(),
            before: Readings::default(),
            dice: StdRng::seed_from_u64(manner.seed),
            http,
            room: Arc::new(Semaphore::new(UNDER_WAY as usize)),
            meets,
            began: now,
            round: 0,
            at: 0,
            turned: now,
            due: now,
        };
        (show, met)
    }

    /// Runs until somebody says `stop`, the time is over or the story told.
    ///
    /// # Errors
    /// Nobody reads the lines any more.
    pub async fn run(
        &mut self,
        mut news: mpsc::Receiver<Told>,
        met: &mut mpsc::Receiver<Met>,
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> io::Result<End> {
        self.open()?;
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut status = interval(STATUS.div_f64(self.manner.speed).max(Duration::from_secs(1)));
        status.tick().await;
        let mut count = 0;
        loop {
            tokio::select! {
                () = &mut stop => return Ok(End::Stopped),
                Some(told) = news.recv() => {
                    let lines = self.commentary.told(&told.event, self.now());
                    self.say(lines)?;
                }
                Some(met) = met.recv() => self.met(&met)?,
                _ = status.tick() => self.status()?,
                _ = beats.tick() => {
                    if self.manner.duration.is_some_and(|duration| self.now() >= duration) {
                        return Ok(End::Time);
                    }
                    count += 1;
                    self.ask_what_is_due();
                    if count % LOOK == 0 {
                        self.look()?;
                        if self.has_ended() && !self.turn()? {
                            return Ok(End::Told);
                        }
                    }
                }
            }
        }
    }

    /// Waits a little for those under way, then says what it all came to.
    ///
    /// # Errors
    /// Nobody reads the lines any more.
    pub async fn end(&mut self, met: &mut mpsc::Receiver<Met>, why: End) -> io::Result<()> {
        let room = Arc::clone(&self.room);
        let over = async { drop(room.acquire_many(UNDER_WAY).await) };
        let mut over = std::pin::pin!(timeout(LAST, over));
        loop {
            tokio::select! {
                biased;
                Some(met) = met.recv() => self.met(&met)?,
                _ = &mut over => break,
            }
        }
        self.read();
        let why = match why {
            End::Stopped => "stopped",
            End::Time => "the time of --duration is over",
            End::Told => "the story is told",
        };
        self.line(Line::new("end", Tone::Plain, why))?;
        let (tally, money) = (&self.tally, self.readings);
        let text = format!(
            "\nIn {:.0} s: {} asked, {} answered, {}.\n\
             {} tries failed, were refused or were cut off at providers; {} answers took more than one try.\n\
             ${:.4} spent, ${:.4} saved ({:.0} %) beside grand for everything: ${:.4} by routing, ${:.4} by the cache, \
             which gave {} answers.",
            self.began.elapsed().as_secs_f64(),
            tally.answered + tally.problems,
            tally.answered,
            outcome(tally.problems),
            money.failed,
            tally.rescued,
            money.spent,
            money.saved(),
            money.percent(),
            money.by_routing,
            money.by_cache,
            tally.kept,
        );
        self.screen.say(&text)
    }

    /// Where the lines go.
    pub fn screen(&mut self) -> &mut Screen<W> {
        &mut self.screen
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn chapter(&self) -> &'static Chapter {
        &STORY[self.at]
    }

    /// A span of the story, at the speed of this run.
    fn scaled(&self, span: Duration) -> Duration {
        span.div_f64(self.manner.speed)
    }

    fn has_ended(&self) -> bool {
        let (chapter, passed) = (self.chapter(), self.turned.elapsed());
        let least = self.scaled(chapter.length);
        passed >= least && (self.commentary.has_seen(chapter.until) || passed >= least * LONGEST)
    }

    /// Goes on to the next chapter; false: the story is told.
    fn turn(&mut self) -> io::Result<bool> {
        self.read();
        let (before, now) = (self.before, self.readings);
        let text = format!(
            "answered by {}; ${:.4} spent, ${:.4} saved; {}.",
            listed(&self.tally.chapter),
            now.spent - before.spent,
            now.saved() - before.saved(),
            outcome(self.tally.chapter_problems)
        );
        self.before = now;
        self.line(Line::new("in short", Tone::Plain, text))?;
        loop {
            self.at = (self.at + 1) % STORY.len();
            self.round += usize::from(self.at == 0);
            if self.round == 0 || !self.chapter().once {
                break;
            }
        }
        if self.round > 0 && self.manner.once {
            return Ok(false);
        }
        self.open()?;
        Ok(true)
    }

    /// Opens a chapter.
    fn open(&mut self) -> io::Result<()> {
        let (chapter, speed) = (self.chapter(), self.manner.speed);
        self.turned = Instant::now();
        self.due = self.turned;
        self.tally.turn();
        self.commentary.turn();
        let title = format!("{} of {}: {}", self.at + 1, STORY.len(), chapter.title);
        let at = self.now();
        self.screen.chapter(at, &title, chapter.lead)?;
        let trouble = chapter.trouble.map(|(provider, trouble)| (provider, trouble.fault(speed)));
        self.gateway.trouble(trouble).map_err(io::Error::other)?;
        if chapter.crowd {
            self.commentary.crowd_asks(CROWD);
            for _ in 0..CROWD {
                self.ask(None, questions::of_the_crowd(self.round));
            }
        }
        Ok(())
    }

    fn ask_what_is_due(&mut self) {
        let now = Instant::now();
        while self.due <= now {
            let rate = self.manner.rate * self.manner.speed;
            let pause = Duration::from_secs_f64(1.0 / rate).mul_f64(self.dice.random_range(0.5..1.5));
            self.due += pause;
            let asker = self.asker();
            let body = questions::question(asker, self.tally.asked, &mut self.dice);
            self.ask(Some(asker), body);
        }
    }

    fn asker(&mut self) -> Asker {
        let askers = self.chapter().askers;
        let mut drawn = self.dice.random_range(0..askers.iter().map(|(_, weight)| weight).sum());
        for (asker, weight) in askers {
            match drawn < *weight {
                true => return *asker,
                false => drawn -= weight,
            }
        }
        Asker::Anybody
    }

    fn ask(&mut self, asker: Option<Asker>, body: Value) {
        // Where so many are under way, the machine cannot follow: this one is left out.
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return };
        self.tally.asked += 1;
        let (http, meets) = (self.http.clone(), self.meets.clone());
        let url = self.gateway.url("/v1/chat/completions");
        tokio::spawn(async move {
            let met = client::ask(http, url, asker, body).await;
            // At the end nobody listens any more.
            let _ = meets.send(met).await;
            drop(room);
        });
    }

    fn met(&mut self, met: &Met) -> io::Result<()> {
        self.tally.add(met);
        let line = self.commentary.met(met, self.now());
        self.say(line)
    }

    fn look(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let snapshot = self.gateway.state.snapshot();
        let looks = snapshot.fleet.vitals(now).into_iter().map(|vitals| Look {
            model: vitals.patient.name.to_string(),
            provider: vitals.patient.provider.to_string(),
            breaker: word(vitals.standing.state),
            pause: vitals.standing.limited_until.map(|until| until.saturating_duration_since(now)),
        });
        let at = self.now();
        let lines: Vec<Line> = looks.flat_map(|look| self.commentary.looked(look, at)).collect();
        self.say(lines)?;
        self.read();
        let line = self.commentary.read(self.readings.hedges_won, self.readings.shared);
        self.say(line)?;
        let lines = self.commentary.beat(at);
        self.say(lines)
    }

    fn read(&mut self) {
        let page = self.gateway.state.0.metrics.page();
        self.readings = Readings::read(&String::from_utf8_lossy(&page));
    }

    fn status(&mut self) -> io::Result<()> {
        let first = match self.tally.firsts() {
            Some([p50, p95]) => {
                format!("first word {:.2} s (p95 {:.2} s), ", p50.as_secs_f64(), p95.as_secs_f64())
            }
            None => String::new(),
        };
        let (tally, money) = (&self.tally, self.readings);
        let text = format!(
            "{} answered, {} errors, {first}${:.4} spent, ${:.4} saved ({:.0} %)",
            tally.answered,
            tally.problems,
            money.spent,
            money.saved(),
            money.percent()
        );
        self.line(Line::new("status", Tone::Plain, text))
    }

    fn say(&mut self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: Line) -> io::Result<()> {
        let at = self.now();
        self.screen.line(at, &line)
    }
}
