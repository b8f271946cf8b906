//! What became of one try on one target, as a class that policies share with metrics.

use std::fmt;

/// The outcome of one attempt. `docs` of each variant say what the wire showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A complete answer, or a stream with its terminal event.
    Ok,
    /// 5xx without a delay, 408, 409.
    ServerError,
    /// Connecting, DNS or TLS failed, or the connection was gone before the request was sent.
    ConnectError,
    /// The connection broke after the request was sent, before an answer.
    Reset,
    /// No first token (or no whole answer) in time.
    Timeout,
    /// A stream fell silent after it had begun.
    IdleTimeout,
    /// A stream ended without its terminal event, or was cut.
    Truncated,
    /// An error event inside a stream, or an error body under a success status.
    ErrorEvent,
    /// Something that is not the provider's format.
    InvalidAnswer,
    /// 429, 529, or 503 with a delay: come back later.
    RateLimited,
    /// 402, or 429 `insufficient_quota`: this credential has no money left.
    QuotaExhausted,
    /// 401: the provider does not know this credential.
    CredentialRejected,
    /// 403: the credential lacks a grant.
    Forbidden,
    /// 404: the provider does not know this model.
    ModelUnknown,
    /// 400, 413, 422, content filter: the request itself is at fault.
    Rejected,
    /// The request is longer than the model's context window.
    ContextTooLong,
    /// The request was not sent: the provider cannot take one of its fields.
    Unsupported,
    /// The target had no room or was not tried for another reason of ours.
    Skipped,
    /// The client left before the end.
    ClientLeft,
    /// Another try of the same request had content first.
    Overtaken,
}

impl Outcome {
    /// The name used in metrics, logs and `error.attempts`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ServerError => "server_error",
            Self::ConnectError => "connect_error",
            Self::Reset => "connection_reset",
            Self::Timeout => "timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Truncated => "truncated",
            Self::ErrorEvent => "error_event",
            Self::InvalidAnswer => "invalid_answer",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::CredentialRejected => "credential_rejected",
            Self::Forbidden => "forbidden",
            Self::ModelUnknown => "model_unknown",
            Self::Rejected => "rejected",
            Self::ContextTooLong => "context_too_long",
            Self::Unsupported => "unsupported",
            Self::Skipped => "skipped",
            Self::ClientLeft => "client_left",
            Self::Overtaken => "overtaken",
        }
    }

    /// Every outcome, for metrics that are made at start.
    pub const ALL: [Self; 20] = [
        Self::Ok,
        Self::ServerError,
        Self::ConnectError,
        Self::Reset,
        Self::Timeout,
        Self::IdleTimeout,
        Self::Truncated,
        Self::ErrorEvent,
        Self::InvalidAnswer,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::CredentialRejected,
        Self::Forbidden,
        Self::ModelUnknown,
        Self::Rejected,
        Self::ContextTooLong,
        Self::Unsupported,
        Self::Skipped,
        Self::ClientLeft,
        Self::Overtaken,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
