//! What went wrong with a try, said as a failure.

use std::time::Duration;

use tokio::time::Instant;

use crate::{base::outcome::Outcome, provider::Failure};

use super::{
    credentials::{Shut, hope},
    inflight::CallError,
    transport::{TransportError, TransportErrorKind},
    whole::Torn,
};

/// Whether another key of the same provider may do better.
pub(super) fn is_the_keys_fault(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::CredentialRejected | Outcome::Forbidden | Outcome::QuotaExhausted | Outcome::RateLimited
    )
}

/// Of two keys' failures the one that is over sooner: one key at its limit is not all keys refused.
pub(super) fn kept(last: Option<Failure>, next: Failure) -> Failure {
    let Some(last) = last else { return next };
    let retry_after = [last.retry_after, next.retry_after].into_iter().flatten().min();
    let kept = if hope(last.outcome) > hope(next.outcome) { last } else { next };
    Failure { retry_after, ..kept }
}

/// Why nothing was sent while no key may be used.
pub(super) fn keys_shut(shut: Shut, now: Instant) -> Failure {
    let message = match shut.why {
        Outcome::RateLimited => "The provider is at its rate limit.",
        Outcome::QuotaExhausted => "The provider's account has no money left.",
        _ => "The provider refused every key lately.",
    };
    let left = shut.until.saturating_duration_since(now);
    // That a refused key is good again by then is a hope, not known.
    let retry_after = (hope(shut.why) > 0).then_some(left);
    Failure { retry_after, ..Failure::of(shut.why, message) }
}

/// Why nothing was sent while our own limits leave no room.
pub(super) fn no_room(wait: Duration) -> Failure {
    let message = "The provider has had as many requests or tokens as it may have in a minute.";
    Failure { retry_after: Some(wait), ..Failure::of(Outcome::RateLimited, message) }
}

/// The only usable key came back between the look and the telling.
pub(super) fn in_use() -> Failure {
    Failure::of(Outcome::Skipped, "The provider's keys were all in question a moment ago.")
}

/// Why a request did not get an answer.
pub(super) fn call_failed(error: CallError<TransportError>) -> Failure {
    match error {
        CallError::Full => {
            Failure::of(Outcome::Skipped, "The provider has as many requests under way as it may.")
        }
        CallError::Transport(error) => transport_failed(&error),
    }
}

fn transport_failed(error: &TransportError) -> Failure {
    let outcome = match error.kind {
        TransportErrorKind::Connect => Outcome::ConnectError,
        TransportErrorKind::Reset => Outcome::Reset,
        TransportErrorKind::Body => Outcome::Truncated,
        TransportErrorKind::TooLarge | TransportErrorKind::Protocol => Outcome::InvalidAnswer,
    };
    Failure::of(outcome, error.to_string())
}

/// Why the body of an answer could not be read.
pub(super) fn body_failed(torn: &Torn<TransportError>, limit: usize) -> Failure {
    match torn {
        Torn::TooLarge => Failure::of(
            Outcome::InvalidAnswer,
            format!("The upstream's answer is larger than {limit} bytes."),
        ),
        Torn::Broke(error) => transport_failed(error),
    }
}
