//! What the peers in Rust share.

pub mod measurement;
pub mod server;
