//! One try on one target, up to its first content or its whole answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::{Instant, error::Elapsed, timeout_at};

use crate::{
    base::{boxed::boxed, deadline::Deadline, outcome::Outcome},
    metrics::TargetMetrics,
    openai::{Ask, Rewrite, count_answer, error::ErrorBody, estimate},
    provider::{Encoded, Expected, Failure},
    quality::{Findings, Want},
    route::Target,
    spend::{Hold, Posted, Purse, Unfunded},
};

use super::{
    allowance::Room,
    credentials::{Lent, Standing, Turn},
    faults::{body_failed, call_failed, in_use, is_the_keys_fault, kept, keys_shut, no_room},
    live::{Live, Patience},
    probe::{Probe, Tracing, Why},
    progress::Progress,
    tap::Tap,
    unit::{Called, Unit, UpstreamBody},
    ward::Ward,
    watch::Watch,
    whole::whole,
};

/// The most that is read of an upstream's error.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// What a try works with.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The provider.
    pub unit: &'a Arc<Unit>,
    /// The target.
    pub target: &'a Arc<Target>,
    /// Its place in the chain, from 1.
    pub position: u32,
    /// What pays for it.
    pub purse: &'a Purse,
    /// Its metrics.
    pub metrics: &'a Arc<TargetMetrics>,
    /// The request.
    pub ask: &'a Ask,
    /// What its answer has to be, where that is checked.
    pub want: Option<&'a Want>,
    /// Fields that apply where the client said nothing.
    pub defaults: &'a [(String, String)],
    /// What others see of it while it is under way.
    pub progress: &'a Progress,
    /// When the try has to have content, at the latest.
    pub by: Deadline,
    /// When a stream has to be over, if the client said so.
    pub over_by: Option<Deadline>,
    /// What it knows of its trace; `None`: nothing is traced.
    pub trace: Option<Tracing<'a>>,
    /// Why it is made.
    pub why: Why,
}

/// A try that succeeded.
#[derive(Debug)]
pub enum Won {
    /// A whole answer, as the client gets it, with its usage.
    Whole {
        /// The body.
        body: Bytes,
        /// What it cost; the body may go out once that is on the disk.
        posted: Posted,
        /// What its checks found.
        findings: Findings,
    },
    /// A stream that has its first content.
    Live(Box<Live>),
}

/// Why a try came to nothing.
#[derive(Debug)]
pub enum Failed {
    /// The upstream failed, or cannot take the request.
    Upstream(Failure),
    /// Nothing was sent: no credential may be used for the model now, or the provider's own limits leave no room. The
    /// failure says why, and when that is over.
    Untried(Failure),
    /// It may not spend.
    Unfunded(Unfunded),
}

/// A try that is under way.
struct Begun<'a> {
    watch: Box<Watch>,
    call: BoxFuture<'a, Called>,
    expected: Expected,
    /// The client's fields that the provider does not get.
    dropped: Vec<String>,
}

/// Why there is no body of an answer.
enum Unheard {
    /// None came.
    Failed(Failure),
    /// The provider said no. Boxed, as it is seldom.
    Refused(Box<http::Response<UpstreamBody>>),
}

/// Nothing was sent: what a target's health knows stays as it is.
pub(super) fn give_back(ward: &mut Option<Ward>) {
    if let Some(ward) = ward.take() {
        ward.give_back();
    }
}

impl<'a> Attempt<'a> {
    /// Makes the try `now`; keys that the provider refuses make room for the next one. Beside the answer stand the
    /// client's fields that the provider did not get.
    ///
    /// # Errors
    /// Why the try failed, and the class of it.
    pub async fn make(
        &mut self,
        ward: &mut Option<Ward>,
        mut now: Instant,
    ) -> Result<(Won, Vec<String>), Failed> {
        let (unit, model) = (self.unit, &self.target.upstream_model);
        let (mut turn, mut last) = (Turn::default(), None);
        let mut shut = None;
        while let Some(lent) = unit.credentials.next(&mut turn, model, now) {
            let room = match unit.allowance.take(self.tokens(), now) {
                Ok(room) => room,
                Err(wait) => {
                    shut = Some(no_room(wait));
                    break;
                }
            };
            if ward.is_none() {
                break;
            }
            // Each key's try is one that may be paid for.
            let hold = match self.purse.hold(self.target, self.position).await {
                Ok(hold) => hold,
                Err(unfunded) => {
                    give_back(ward);
                    return Err(Failed::Unfunded(unfunded));
                }
            };
            let begun = self.begin(hold, room, ward, &lent);
            match self.with_key(begun, &lent, ward).await {
                Ok(won) => {
                    lent.answered();
                    return Ok(won);
                }
                Err(failure) => {
                    let keys_fault = is_the_keys_fault(failure.outcome);
                    lent.failed(&failure);
                    if !keys_fault {
                        return Err(Failed::Upstream(failure));
                    }
                    self.why = Why { word: "key", after: Some(failure.outcome) };
                    last = Some(kept(last, failure));
                    now = Instant::now();
                }
            }
        }
        let shut = shut.or_else(|| match unit.credentials.standing(model, now) {
            Standing::Usable => None,
            Standing::Shut(shut) => Some(keys_shut(shut, now)),
        });
        Err(match last {
            Some(last) => {
                let failure = kept(shut, last);
                if let Some(ward) = ward.take() {
                    ward.over(failure.outcome, failure.retry_after, Instant::now());
                }
                Failed::Upstream(failure)
            }
            None => {
                give_back(ward);
                Failed::Untried(shut.unwrap_or_else(in_use))
            }
        })
    }

    /// About how many tokens it takes, where the provider's own limits count them.
    fn tokens(&self) -> u64 {
        if self.unit.allowance.counts_tokens() { estimate::tokens(self.ask) } else { 0 }
    }

    /// Sends the request, with all that the try is to tell when it is over. What ends a try before that has told it.
    fn begin(
        &self,
        hold: Hold,
        room: Room,
        ward: &mut Option<Ward>,
        lent: &Lent<'_>,
    ) -> Result<Begun<'a>, Failure> {
        let mut encoded = match self.encode(hold.max_output()) {
            Ok(encoded) => encoded,
            Err(failure) => {
                give_back(ward);
                return Err(failure);
            }
        };
        let expected = Expected {
            endpoint: self.ask.endpoint(),
            include_usage: self.ask.include_usage(),
            created: since_1970(),
            answer_tool: encoded.answer_tool.take(),
            model: String::from(&*self.target.upstream_model),
            base64: encoded.base64,
            keep: self.want.map(Want::keep),
        };
        let dropped = std::mem::take(&mut encoded.dropped);
        let asked = (self.ask.stream(), self.want);
        let mut watch = Watch::begin(self.metrics, hold, room, ward.take(), self.progress, asked);
        watch.probed(self.probe(&mut encoded));
        let call = self.unit.send(self.ask, encoded, lent, self.progress);
        Ok(Begun { watch, call, expected, dropped })
    }

    /// One try with one key. Where the key was refused, its target's health comes back for the next one.
    async fn with_key(
        &self,
        begun: Result<Begun<'a>, Failure>,
        lent: &Lent<'_>,
        ward: &mut Option<Ward>,
    ) -> Result<(Won, Vec<String>), Failure> {
        let Begun { mut watch, call, expected, dropped } = begun?;
        let by = self.by.at_most(watch.begun(), self.unit.patience(self.target, self.ask.stream()));
        let failure = match self.heard(timeout_at(by.instant(), call).await, lent, &mut watch) {
            Ok(body) => return Ok((self.read(body, &expected, by, watch).await?, dropped)),
            Err(Unheard::Failed(failure)) => failure,
            Err(Unheard::Refused(response)) => boxed(|| self.refused(*response, by)).await,
        };
        if is_the_keys_fault(failure.outcome) {
            *ward = watch.refused(failure.outcome);
        } else {
            watch.failed(failure.outcome, failure.retry_after);
        }
        Err(failure)
    }

    /// What came of a call: the body of an answer.
    fn heard(
        &self,
        called: Result<Called, Elapsed>,
        lent: &Lent<'_>,
        watch: &mut Watch,
    ) -> Result<UpstreamBody, Unheard> {
        let response = match called {
            Err(_) => return Err(Unheard::Failed(self.too_late())),
            Ok(Err(error)) => return Err(Unheard::Failed(call_failed(error))),
            Ok(Ok(response)) => response,
        };
        watch.status(response.status());
        if !response.status().is_success() {
            return Err(Unheard::Refused(Box::new(response)));
        }
        let now = Instant::now();
        lent.saw(response.headers(), now);
        watch.reached(now);
        if is_encoded(response.headers()) {
            // Never unpacked: how large it would get is the sender's word alone.
            let packed = "The upstream packed its answer (content-encoding), though it was asked not to.";
            return Err(Unheard::Failed(Failure::of(Outcome::InvalidAnswer, packed)));
        }
        Ok(response.into_body())
    }

    /// What the try tells of itself, with the upstream's place in its trace.
    fn probe(&self, encoded: &mut Encoded) -> Option<Probe> {
        let tracing = self.trace?;
        let provider = (&*self.unit.name, &self.unit.settings);
        let probe = Probe::begin(tracing, provider, self.target, self.ask, self.why);
        if let Some(header) = Probe::header(tracing, probe.as_ref()) {
            encoded.headers.insert("traceparent", header);
        }
        probe
    }

    /// The request in the provider's words, with an output limit if a budget sets one.
    fn encode(&self, max_output: Option<u64>) -> Result<Encoded, Failure> {
        let rewrite = Rewrite {
            model: &self.target.upstream_model,
            defaults: self.defaults,
            system_prefix: self.target.system_prefix.as_deref(),
            max_output_tokens: self.target.max_output_tokens,
            max_output,
            drop_unsupported: self.unit.settings.drop_unsupported,
        };
        self.unit.codec.encode(self.ask, &rewrite).map_err(|field| {
            self.metrics.attempt(Outcome::Unsupported, Duration::ZERO);
            let error = ErrorBody::new("invalid_request_error", "unsupported_parameter", field.message);
            Failure::new(Outcome::Unsupported, ErrorBody { param: field.param, ..error })
        })
    }

    async fn read(
        &self,
        mut body: UpstreamBody,
        expected: &Expected,
        by: Deadline,
        mut watch: Box<Watch>,
    ) -> Result<Won, Failure> {
        if self.ask.stream() {
            let decoder = self.unit.codec.stream(expected);
            let patience =
                Patience { content_by: by, idle: self.unit.settings.idle_timeout.0, over_by: self.over_by };
            let tap = Tap::new(Arc::clone(self.unit), body, decoder);
            // Boxed: else whole answers too would carry the room that a stream's beginning takes.
            let live = boxed(|| Live::begin(tap, watch, patience)).await?;
            return Ok(Won::Live(Box::new(live)));
        }
        let limit = self.unit.settings.max_answer.bytes();
        let result = match timeout_at(by.instant(), whole(&mut body, limit)).await {
            Err(_) => Err(self.too_late()),
            Ok(Err(error)) => Err(body_failed(&error, limit)),
            Ok(Ok(body)) => {
                let decoded = self.unit.codec.decode(expected, body);
                decoded.map_err(|failure| self.unit.veil(failure))
            }
        };
        match result {
            Ok(decoded) => {
                watch.first_token();
                if let Some(usage) = &decoded.usage {
                    watch.told(usage);
                }
                let findings = watch.judge(&decoded.body, decoded.said.as_ref());
                let posted = watch.answered(|| count_answer(&decoded.body));
                Ok(Won::Whole { body: decoded.body, posted, findings })
            }
            Err(failure) => {
                watch.failed(failure.outcome, failure.retry_after);
                Err(failure)
            }
        }
    }

    /// Reads what the provider says about its refusal.
    async fn refused(&self, response: http::Response<UpstreamBody>, by: Deadline) -> Failure {
        let (head, mut body) = response.into_parts();
        let by = by.at_most(Instant::now(), error_patience(head.status));
        let read = timeout_at(by.instant(), whole(&mut body, MAX_ERROR_BODY)).await;
        let body = read.ok().and_then(Result::ok).unwrap_or_default();
        self.unit.veil(self.unit.codec.failure(head.status, &head.headers, &body, SystemTime::now()))
    }

    fn too_late(&self) -> Failure {
        let what = if self.ask.stream() { "first token" } else { "answer" };
        Failure::of(Outcome::Timeout, format!("The upstream sent no {what} in time."))
    }
}

/// How long the body of a refusal may take. The next target must not wait for what the status has said already.
fn error_patience(status: StatusCode) -> Duration {
    match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        true => Duration::from_millis(250),
        false => Duration::from_secs(5),
    }
}

/// Whether an answer is packed in any way.
fn is_encoded(headers: &http::HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity" && !coding.is_empty())
}

/// Seconds since 1970; 0 on a machine whose clock stands before that.
fn since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
