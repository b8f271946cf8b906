//! What Weir promises about money, shown on the built binary.

mod clamp;
mod doors;
mod overrun;
mod wave;
