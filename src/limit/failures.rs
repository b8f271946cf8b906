//! Failed authentications, counted for each address.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How many addresses are watched at once; past it the one watched longest is forgotten.
pub const MAX_ADDRESSES: usize = 10_000;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts failures in a minute that begins with an address's first one. A limit of 0 is no limit.
#[derive(Debug)]
pub struct Failures {
    limit: AtomicU32,
    table: Mutex<Table>,
    room: usize,
}

#[derive(Debug, Default)]
struct Table {
    by_address: HashMap<IpAddr, Window>,
    /// The addresses of `by_address`, each once, the oldest window first.
    order: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    failures: u32,
}

impl Failures {
    /// With so many allowed a minute.
    pub fn new(per_minute: u32) -> Self {
        Self::with_room(per_minute, MAX_ADDRESSES)
    }

    fn with_room(per_minute: u32, room: usize) -> Self {
        Self { limit: AtomicU32::new(per_minute), table: Mutex::default(), room }
    }

    /// Changes the limit; what was counted stays.
    pub fn set_limit(&self, per_minute: u32) {
        self.limit.store(per_minute, Ordering::Relaxed);
    }

    /// How long this address has to wait if it has failed too often.
    pub fn blocked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == 0 {
            return None;
        }
        let table = self.table();
        let window = table.by_address.get(&party(address))?;
        let left = (window.began + WINDOW).saturating_duration_since(now);
        (window.failures >= limit && !left.is_zero()).then_some(left)
    }

    /// Counts a failure of this address.
    pub fn record(&self, address: IpAddr, now: Instant) {
        if self.limit.load(Ordering::Relaxed) == 0 {
            return;
        }
        let address = party(address);
        let mut table = self.table();
        table.forget_expired(now);
        if let Some(window) = table.by_address.get_mut(&address) {
            window.failures = window.failures.saturating_add(1);
            return;
        }
        if table.by_address.len() >= self.room {
            table.forget_oldest();
        }
        table.order.push_back(address);
        let window = Window { began: now, failures: 1 };
        table.by_address.insert(address, window);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics under this lock; were it so, a wrong count would be the worst of it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_expired(&mut self, now: Instant) {
        while let Some(address) = self.order.front() {
            let over = |window: &Window| now.saturating_duration_since(window.began) >= WINDOW;
            if !self.by_address.get(address).is_none_or(over) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(address) = self.order.pop_front() {
            self.by_address.remove(&address);
        }
    }
}

/// Whom an address stands for: of IPv6 the network of 64 bits, as one party has all addresses in it.
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_past_the_limit_until_the_minute_is_over() {
        let now = Instant::now();
        let failures = Failures::new(3);
        let (bad, good) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for n in 0..3 {
            assert_eq!(failures.blocked(bad, now), None, "after {n}");
            failures.record(bad, now);
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(failures.blocked(bad, later), Some(Duration::from_secs(40)));
        assert_eq!(failures.blocked(good, later), None);
        assert_eq!(failures.blocked(bad, now + WINDOW), None);
        failures.record(bad, now + WINDOW);
        assert_eq!(failures.blocked(bad, now + WINDOW), None);
    }

    #[test]
    fn one_ipv6_network_is_one_party_and_a_mapped_address_is_its_ipv4() {
        let now = Instant::now();
        let failures = Failures::new(1);
        failures.record(ip("2001:db8::1"), now);
        assert!(failures.blocked(ip("2001:db8::ffff:2"), now).is_some());
        assert!(failures.blocked(ip("2001:db8:0:1::1"), now).is_none());
        failures.record(ip("::ffff:192.0.2.7"), now);
        assert!(failures.blocked(ip("192.0.2.7"), now).is_some());
        assert!(failures.blocked(ip("::ffff:192.0.2.8"), now).is_none());
    }

    #[test]
    fn stays_within_its_room() {
        let now = Instant::now();
        let failures = Failures::with_room(1, 3);
        for last in 1..=10 {
            failures.record(IpAddr::from([192, 0, 2, last]), now);
        }
        let table = failures.table();
        assert_eq!((table.by_address.len(), table.order.len()), (3, 3));
        drop(table);
        assert!(failures.blocked(ip("192.0.2.10"), now).is_some());
        assert!(failures.blocked(ip("192.0.2.7"), now).is_none());
        failures.record(ip("192.0.2.20"), now + WINDOW);
        assert_eq!(failures.table().by_address.len(), 1);
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let failures = Failures::new(0);
        failures.record(ip("192.0.2.1"), now);
        assert!(failures.blocked(ip("192.0.2.1"), now).is_none());
        assert!(failures.table().by_address.is_empty());
    }
}
