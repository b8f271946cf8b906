//! What faces clients.

pub mod server;
