//! Learning from outcomes, for the training program, for `weir calibrate`.

pub mod linear;
pub mod sample;
pub mod trees;
