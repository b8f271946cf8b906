//! The disk's own time: what a durable write of one page takes.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Instant};

use crate::{Times, row};

const WRITES: u64 = 500;
const PAGE: u64 = 4096;

/// Writes a page after the other, each of them durably.
pub fn time(folder: &Path) {
    let path = folder.join("pages");
    let file = File::create(&path).unwrap();
    let write = |number: u64| {
        let begun = Instant::now();
        file.write_all_at(&[number as u8; PAGE as usize], number * PAGE).unwrap();
        file.sync_data().unwrap();
        begun.elapsed()
    };
    let times = Times::new((0..WRITES).map(write).collect());
    std::fs::remove_file(path).unwrap();
    let figure = format!("{:.3} ms", times.at(0.5).as_secs_f64() * 1000.0);
    let note = format!("p99 {:.3} ms", times.at(0.99).as_secs_f64() * 1000.0);
    row("the disk: write and fdatasync 4 KiB, median", &figure, &note);
}
