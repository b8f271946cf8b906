//! The listening socket.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    time::{Instant, sleep},
};

/// How many connections the system keeps waiting for us to take them.
const BACKLOG: u32 = 4096;

/// Listens on `addr`, like `127.0.0.1:8080`, `[::]:8080` or `localhost:8080`; port 0 takes a free one.
///
/// # Errors
/// Says what is wrong with the address, which stands at `key`.
pub async fn bind(key: &str, addr: &str) -> Result<TcpListener, String> {
    let addresses = lookup_host(addr).await.map_err(|error| {
        format!("{key}: `{addr}` is not an address to listen on: {error}; write it like \"127.0.0.1:8080\"")
    })?;
    let mut fault = format!("{key}: `{addr}` has no address");
    for address in addresses {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => fault = format!("{key}: cannot listen on {address}: {error}"),
        }
    }
    Err(fault)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart does not wait for the old connections to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes the next connection. Errors never end it: it waits a little and tries again.
pub async fn accept(listener: &TcpListener, trouble: &mut Trouble) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connection) => {
                trouble.over();
                return connection;
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                let (pause, log) = trouble.next(Instant::now());
                if log {
                    tracing::error!(%error, "cannot accept connections; trying again");
                }
                sleep(pause).await;
            }
        }
    }
}

/// Whether only the connection failed that was to be taken.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A burst of failures, like running out of file descriptors.
#[derive(Debug, Default)]
pub struct Trouble {
    failures: u32,
    logged: Option<Instant>,
}

impl Trouble {
    const FIRST_PAUSE: Duration = Duration::from_millis(10);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    /// Failures with successes between them count as one burst, too.
    const QUIET: Duration = Duration::from_secs(30);

    /// How long to pause after another failure, and whether to log it.
    pub fn next(&mut self, now: Instant) -> (Duration, bool) {
        let pause = Self::FIRST_PAUSE * 2_u32.pow(self.failures.min(7));
        self.failures = self.failures.saturating_add(1);
        let log = self.log(now);
        (pause.min(Self::LONGEST_PAUSE), log)
    }

    /// Whether it is time to log.
    pub fn log(&mut self, now: Instant) -> bool {
        let log = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= Self::QUIET);
        if log {
            self.logged = Some(now);
        }
        log
    }

    /// It went well again.
    pub fn over(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_is_wrong_with_the_address() {
        let listener = bind("server.listen", "127.0.0.1:0").await.unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        for bad in ["127.0.0.1", "", "127.0.0.1:99999", "192.0.2.1:0", &taken] {
            let fault = bind("server.admin_listen", bad).await.unwrap_err();
            assert!(fault.contains("server.admin_listen") && fault.contains(bad), "{fault}");
        }
    }

    #[test]
    fn a_burst_is_logged_once_and_pauses_grow() {
        let mut trouble = Trouble::default();
        let now = Instant::now();
        let first = trouble.next(now);
        assert_eq!(first, (Duration::from_millis(10), true));
        for _ in 0..100 {
            assert!(!trouble.next(now).1);
        }
        assert_eq!(trouble.next(now).0, Duration::from_secs(1));
        trouble.over();
        assert_eq!(trouble.next(now), (Duration::from_millis(10), false));
        assert!(trouble.next(now + Trouble::QUIET).1);
    }
}
