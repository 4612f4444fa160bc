//! (being written)
pub mod args;
