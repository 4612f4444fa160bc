//! Any bytes as what clients and servers say to the proxy, most of them in RESP3.
#![no_main]

#[path = "../bodies/session.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
