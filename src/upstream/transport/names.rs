//! Addresses of a host name, looked up anew from time to time.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
};
use hyper_util::client::legacy::connect::dns::Name;
use tokio::time::Instant;

use super::error::chain;

/// How long an answer is used before the name is looked up anew.
const FRESH: Duration = Duration::from_secs(30);

/// How long a look-up may take while an old answer would do.
const PATIENCE: Duration = Duration::from_secs(1);

const HOSTS: &str = "/etc/hosts";

/// A resolver for the one host of a provider. Cheap to clone; set up at the first look-up that needs it.
#[derive(Clone)]
pub(super) struct Names(Arc<Inner>);

struct Inner {
    source: Source,
    fresh: Duration,
    known: Mutex<Option<Answer>>,
}

struct Answer {
    addresses: Vec<IpAddr>,
    at: Instant,
}

enum Source {
    /// `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
    System(Box<Mutex<Option<TokioResolver>>>),
    /// What a test says; never answers while that is empty.
    #[cfg(test)]
    Script(Arc<Mutex<Vec<IpAddr>>>),
}

impl Names {
    /// Names as this machine knows them.
    pub(super) fn system() -> Self {
        Self::new(Source::System(Box::default()), FRESH)
    }

    /// Names as a test says, looked up anew after `fresh`; none at all means that a look-up hangs.
    #[cfg(test)]
    pub(super) fn script(script: Arc<Mutex<Vec<IpAddr>>>, fresh: Duration) -> Self {
        Self::new(Source::Script(script), fresh)
    }

    fn new(source: Source, fresh: Duration) -> Self {
        Self(Arc::new(Inner { source, fresh, known: Mutex::new(None) }))
    }

    /// The addresses of `host`: those known if they are fresh, else looked up; if that fails, those known before.
    pub(super) async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        if let Some(addresses) = self.known(Some(Instant::now())) {
            return Ok(addresses);
        }
        let Some(old) = self.known(None) else {
            return self.look_up(host).await;
        };
        // A name server that is down must neither take down nor hold up a provider whose addresses we know.
        match tokio::time::timeout(PATIENCE, self.look_up(host)).await {
            Ok(Ok(addresses)) => Ok(addresses),
            _ => {
                self.learn(old.clone());
                Ok(old)
            }
        }
    }

    /// Looks `host` up anew if its answer is no longer fresh; `Some` is a new answer.
    pub(super) async fn renewed(&self, host: &str) -> Option<Vec<IpAddr>> {
        if literal(host).is_some() || self.known(Some(Instant::now())).is_some() {
            return None;
        }
        self.look_up(host).await.ok()
    }

    /// The known answer; with `now`, only a fresh one.
    fn known(&self, now: Option<Instant>) -> Option<Vec<IpAddr>> {
        let known = lock(&self.0.known);
        known
            .as_ref()
            .filter(|answer| now.is_none_or(|now| now.duration_since(answer.at) < self.0.fresh))
            .map(|answer| answer.addresses.clone())
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = match &self.0.source {
            Source::System(resolver) => system(resolver, host).await?,
            #[cfg(test)]
            Source::Script(script) => {
                let said = lock(script).clone();
                if said.is_empty() {
                    std::future::pending::<()>().await;
                }
                said
            }
        };
        self.learn(addresses.clone());
        Ok(addresses)
    }

    fn learn(&self, addresses: Vec<IpAddr>) {
        *lock(&self.0.known) = Some(Answer { addresses, at: Instant::now() });
    }
}

async fn system(resolver: &Mutex<Option<TokioResolver>>, host: &str) -> io::Result<Vec<IpAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    // A container image from scratch has no such file.
    let hosts = tokio::fs::read_to_string(HOSTS).await.unwrap_or_default();
    let addresses = in_hosts(&hosts, host);
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    let resolver = name_servers(resolver)?;
    let found = resolver
        .lookup_ip(host)
        .await
        .map_err(|error| io::Error::other(format!("{host} cannot be looked up: {}", chain(&error))))?;
    let addresses: Vec<IpAddr> = found.iter().collect();
    if addresses.is_empty() {
        return Err(io::Error::other(format!("{host} has no address")));
    }
    Ok(addresses)
}

/// The resolver, set up at its first use.
fn name_servers(slot: &Mutex<Option<TokioResolver>>) -> io::Result<TokioResolver> {
    let mut slot = lock(slot);
    if let Some(resolver) = &*slot {
        return Ok(resolver.clone());
    }
    let set_up = || {
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        // Both families, the older first: a machine without a way out over IPv6 then loses no time.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // `/etc/hosts` was asked before, and answers are kept here.
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        builder.build()
    };
    let resolver = set_up().map_err(|error| {
        io::Error::other(format!(
            "/etc/resolv.conf names no usable name server ({}), so only IP addresses, localhost \
             or names in {HOSTS} can be used",
            chain(&error)
        ))
    })?;
    Ok(slot.insert(resolver).clone())
}

/// The addresses that a hosts file gives a name.
fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    hosts
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect()
}

/// A host that is an address itself, IPv6 in brackets or without.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The form in which hyper-util's connector asks.
impl tower::Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            let sockets: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_files_are_read() {
        let hosts = "# 9.9.9.9 llm\n127.0.0.1 localhost\n10.0.0.7\tLLM llm.internal # the one\n\
                     bad line llm\nfd00::7 llm\n";
        let found: Vec<String> = in_hosts(hosts, "llm").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.7", "fd00::7"]);
        assert!(in_hosts(hosts, "one").is_empty());
    }

    #[tokio::test]
    async fn literals_and_localhost_need_no_resolver() {
        let names = Names::system();
        assert_eq!(names.addresses("[::1]").await.unwrap(), [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        assert_eq!(names.addresses("10.1.2.3").await.unwrap(), [IpAddr::from([10, 1, 2, 3])]);
        assert!(names.addresses("localhost").await.unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
        let Source::System(resolver) = &names.0.source else { panic!("not the system") };
        assert!(lock(resolver).is_none(), "nothing was set up");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_renewed_after_their_time() {
        let script = Arc::new(Mutex::new(vec![IpAddr::from([10, 0, 0, 1])]));
        let names = Names::script(script.clone(), FRESH);
        assert_eq!(names.addresses("llm").await.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        *lock(&script) = vec![IpAddr::from([10, 0, 0, 2])];
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(names.renewed("llm").await, None);
        assert_eq!(names.addresses("llm").await.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(names.renewed("llm").await, Some(vec![IpAddr::from([10, 0, 0, 2])]));
        assert_eq!(names.addresses("llm").await.unwrap(), [IpAddr::from([10, 0, 0, 2])]);
        lock(&script).clear();
        tokio::time::advance(Duration::from_secs(31)).await;
        let old = names.addresses("llm").await.unwrap();
        assert_eq!(old, [IpAddr::from([10, 0, 0, 2])], "a hanging name server leaves us the old answer");
    }
}
