//! What black-box tests stand on: processes under test, a scripted upstream, a client.

pub mod client;
pub mod process;
pub mod raw;
pub mod script;
pub mod sim;
pub mod sse;
pub mod weir;
pub mod wire;
