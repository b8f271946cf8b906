//! What an outcome means for health: the one table.

use crate::base::outcome::Outcome;

/// What an outcome says of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What it says of its health.
    pub verdict: Verdict,
    /// What it says of its speed.
    pub sample: Sample,
    /// What else follows.
    pub aside: Aside,
    /// Whether it says that the provider can be reached.
    pub reached: Reached,
}

/// What an outcome says of a target's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A success: failures in a row begin anew.
    Ok,
    /// A failure.
    Failed,
    /// A rate limit is not ill health: it must not open a breaker, nor let a probe succeed.
    Throttled,
    /// Nothing: it was the request's, the credential's or the client's doing.
    Neutral,
}

/// What an outcome says of a target's speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// The time to its first token, or to the whole answer.
    Own,
    /// The time that it took, yet no less than what is usual: a quick failure does not make a target fast.
    AtLeastUsual,
    /// The time that was waited, if that is longer than what is usual.
    IfLonger,
    /// Nothing.
    Nothing,
}

/// What else follows from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Nothing.
    Nothing,
    /// The target is left alone as long as the provider says.
    Limit,
    /// The credential has no money: it rests.
    CredentialRests,
    /// The credential is refused: after a second time it is out.
    CredentialOut,
    /// The provider does not know the model: the target rests.
    TargetRests,
}

/// Whether an outcome says that a provider can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It answered, whatever it said.
    Yes,
    /// Connecting failed.
    No,
    /// It says nothing of that.
    Unknown,
}

/// The table of outcomes. 500 and the like stand as `ServerError`, a 503 or 429 with a delay and a 529 as
/// `RateLimited`: `base::outcome` tells what each shows on the wire.
pub fn signal(outcome: Outcome) -> Signal {
    use Reached::{No, Unknown, Yes};
    use Verdict::{Failed, Neutral, Throttled};
    let (verdict, sample, aside, reached) = match outcome {
        Outcome::Ok => (Verdict::Ok, Sample::Own, Aside::Nothing, Yes),
        Outcome::ServerError => (Failed, Sample::Nothing, Aside::Nothing, Yes),
        Outcome::ConnectError => (Failed, Sample::Nothing, Aside::Nothing, No),
        Outcome::Reset => (Failed, Sample::Nothing, Aside::Nothing, Unknown),
        // Silence does not tell a provider that is slow from one that is not there.
        Outcome::Timeout => (Failed, Sample::AtLeastUsual, Aside::Nothing, Unknown),
        Outcome::IdleTimeout | Outcome::Truncated | Outcome::ErrorEvent | Outcome::InvalidAnswer => {
            (Failed, Sample::AtLeastUsual, Aside::Nothing, Yes)
        }
        Outcome::RateLimited => (Throttled, Sample::Nothing, Aside::Limit, Yes),
        Outcome::QuotaExhausted => (Neutral, Sample::Nothing, Aside::CredentialRests, Yes),
        Outcome::CredentialRejected | Outcome::Forbidden => {
            (Neutral, Sample::Nothing, Aside::CredentialOut, Yes)
        }
        Outcome::ModelUnknown => (Neutral, Sample::Nothing, Aside::TargetRests, Yes),
        Outcome::Rejected | Outcome::ContextTooLong => (Neutral, Sample::Nothing, Aside::Nothing, Yes),
        Outcome::Unsupported | Outcome::Skipped => (Neutral, Sample::Nothing, Aside::Nothing, Unknown),
        Outcome::ClientLeft | Outcome::Overtaken => (Neutral, Sample::IfLonger, Aside::Nothing, Unknown),
    };
    Signal { verdict, sample, aside, reached }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the specification, in its words: what counts as a failure, as a sample, besides.
    const ROWS: [(Outcome, &str, &str, &str); 20] = [
        (Outcome::Ok, "ok", "own", "-"),
        (Outcome::ServerError, "fail", "no", "-"),
        (Outcome::ConnectError, "fail", "no", "-"),
        (Outcome::Reset, "fail", "no", "-"),
        (Outcome::Timeout, "fail", "max", "-"),
        (Outcome::IdleTimeout, "fail", "max", "-"),
        (Outcome::Truncated, "fail", "max", "-"),
        (Outcome::ErrorEvent, "fail", "max", "-"),
        (Outcome::InvalidAnswer, "fail", "max", "-"),
        (Outcome::RateLimited, "throttled", "no", "limit"),
        (Outcome::QuotaExhausted, "no", "no", "key rests"),
        (Outcome::CredentialRejected, "no", "no", "key out"),
        (Outcome::Forbidden, "no", "no", "key out"),
        (Outcome::ModelUnknown, "no", "no", "target rests"),
        (Outcome::Rejected, "no", "no", "-"),
        (Outcome::ContextTooLong, "no", "no", "-"),
        (Outcome::Unsupported, "no", "no", "-"),
        (Outcome::Skipped, "no", "no", "-"),
        (Outcome::ClientLeft, "no", "longer", "-"),
        (Outcome::Overtaken, "no", "longer", "-"),
    ];

    #[test]
    fn every_outcome_means_what_the_table_says() {
        assert_eq!(ROWS.map(|row| row.0), Outcome::ALL);
        for (outcome, verdict, sample, aside) in ROWS {
            let signal = signal(outcome);
            let said = match signal.verdict {
                Verdict::Ok => "ok",
                Verdict::Failed => "fail",
                Verdict::Throttled => "throttled",
                Verdict::Neutral => "no",
            };
            assert_eq!(said, verdict, "{outcome}");
            let said = match signal.sample {
                Sample::Own => "own",
                Sample::AtLeastUsual => "max",
                Sample::IfLonger => "longer",
                Sample::Nothing => "no",
            };
            assert_eq!(said, sample, "{outcome}");
            let said = match signal.aside {
                Aside::Nothing => "-",
                Aside::Limit => "limit",
                Aside::CredentialRests => "key rests",
                Aside::CredentialOut => "key out",
                Aside::TargetRests => "target rests",
            };
            assert_eq!(said, aside, "{outcome}");
        }
    }

    #[test]
    fn only_connecting_speaks_against_the_provider() {
        for outcome in Outcome::ALL {
            let unreached = signal(outcome).reached == Reached::No;
            assert_eq!(unreached, outcome == Outcome::ConnectError, "{outcome}");
        }
    }
}
