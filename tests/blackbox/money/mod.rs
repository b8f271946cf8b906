//! What Weir promises about money, shown on the built binary.

mod again;
mod alerts;
mod ceiling;
mod clamp;
mod doors;
mod downgrade;
mod leaving;
mod overrun;
mod reload;
mod stop;
mod told;
mod tries;
mod unpriced;
mod usage;
mod wave;
