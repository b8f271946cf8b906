//! The `weir` binary.

use std::process::ExitCode;

/// The system's takes up to a sixth more of the processor's time: what a request needs is larger than its fast path takes.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    weir::cli::main()
}
