//! The client of the control plane: Weir's own calls, never a client's request.

use std::time::Duration;

/// A client for calls to Weir itself on this machine: no proxy, no redirect, five seconds.
///
/// # Errors
/// If the client cannot be set up, which is a fault of the build.
pub fn local() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| error.to_string())
}
