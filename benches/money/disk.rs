//! The disk's own time: what a durable write of one page takes.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use crate::{Failure, Times, row};

const WRITES: u64 = 500;
const PAGE: u64 = 4096;

/// Writes a page after the other, each of them durably.
///
/// # Errors
/// The folder cannot be written.
pub fn time(folder: &Path) -> Result<(), Failure> {
    let path = folder.join("pages");
    let file = File::create(&path)?;
    let write = |number: u64| -> io::Result<Duration> {
        let begun = Instant::now();
        file.write_all_at(&[number as u8; PAGE as usize], number * PAGE)?;
        file.sync_data()?;
        Ok(begun.elapsed())
    };
    let times = Times::new((0..WRITES).map(write).collect::<Result<_, _>>()?);
    std::fs::remove_file(path)?;
    let figure = format!("{:.3} ms", times.at(0.5).as_secs_f64() * 1000.0);
    let note = format!("p99 {:.3} ms", times.at(0.99).as_secs_f64() * 1000.0);
    row("the disk: write and fdatasync 4 KiB, median", &figure, &note);
    Ok(())
}
