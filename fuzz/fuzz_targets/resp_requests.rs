//! Any bytes as redis requests; see `wire::check`.
#![no_main]

#[path = "../bodies/wire.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run("resp_requests", data));
