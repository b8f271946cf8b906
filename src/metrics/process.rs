//! What the process itself takes, under the names that every program uses for that.

use std::{fs, time::SystemTime};

use prometheus::{Counter, Gauge, Opts, core::Collector};

use super::Maker;

/// The kernel tells times of processes in hundredths of a second, on every machine that Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The metrics of this process. Where there is no `/proc`, only its start is known.
#[derive(Clone, Debug)]
pub(super) struct ProcessMetrics {
    cpu: Counter,
    resident: Gauge,
    open_files: Gauge,
    threads: Gauge,
}

/// What `/proc` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taken {
    cpu_seconds: f64,
    resident_bytes: f64,
    threads: f64,
}

impl ProcessMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        fn add<M: Collector + Clone + 'static>(
            maker: &Maker,
            make: impl FnOnce(Opts) -> Result<M, prometheus::Error>,
            (name, help): (&str, &str),
        ) -> Result<M, prometheus::Error> {
            maker.add(make(Opts::new(name, help).namespace("process"))?)
        }
        let gauge = |named| add(maker, Gauge::with_opts, named);
        let metrics = Self {
            cpu: add(maker, Counter::with_opts, ("cpu_seconds_total", "Time on all processors."))?,
            resident: gauge(("resident_memory_bytes", "Memory in use."))?,
            open_files: gauge(("open_fds", "Open files, connections among them."))?,
            threads: gauge(("threads", "Threads."))?,
        };
        // They are made when the process starts.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        gauge(("start_time_seconds", "When it was started, in Unix time."))?.set(since.as_secs_f64().round());
        // A reload does not change it.
        let most = rlimit::Resource::NOFILE.get().map_or(0, |(soft, _)| soft);
        gauge(("max_fds", "How many files may be open."))?.set(most as f64);
        Ok(metrics)
    }

    /// Looks how things are. What cannot be read stays as it was.
    pub(super) fn look(&self) {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        if let Some(taken) = read("stat").zip(read("status")).and_then(|(stat, status)| parse(&stat, &status))
        {
            self.resident.set(taken.resident_bytes);
            self.threads.set(taken.threads);
            // Two pages at once may find it ahead; a counter never falls.
            self.cpu.inc_by((taken.cpu_seconds - self.cpu.get()).max(0.0));
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // The folder itself is open too while it is read.
            self.open_files.set(files.count().saturating_sub(1) as f64);
        }
    }
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`; see proc(5).
fn parse(stat: &str, status: &str) -> Option<Taken> {
    // The second field is the program's name, which may hold anything; behind its last bracket comes the third.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_seconds = (ticks()? + ticks()?) / TICKS_PER_SECOND;
    let number = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some(Taken { cpu_seconds, resident_bytes: number("VmRSS:")? * 1024.0, threads: number("Threads:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "7 (we) (ir) S 1 7 7 0 -1 4194560 1000 0 0 0 123 77 0 0 20 0 3 0 9000 1 2";
        let status = "Name:\tweir\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        let taken = Taken { cpu_seconds: 2.0, resident_bytes: 2_097_152.0, threads: 3.0 };
        assert_eq!(parse(stat, status), Some(taken));
        for (stat, status) in [("", status), (stat, ""), ("7 (x) S", status), (stat, "VmRSS: x\nThreads: 1")]
        {
            assert_eq!(parse(stat, status), None, "{stat} {status}");
        }
    }
}
