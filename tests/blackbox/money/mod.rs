//! What Weir promises about money, shown on the built binary.

mod doors;
mod wave;
