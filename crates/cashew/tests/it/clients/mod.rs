//! Client libraries as applications use them, unchanged. What those of other languages do is in `tests/clients`.

mod go;
mod node;
mod python;
mod redis_cli;
mod rust;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use testkit::{Cashew, RedisServer, ports};

use crate::farm;

/// What [`locked`] asks its clients for.
const PASSWORD: &str = "open sesame";

/// A pool with a password, and the port where it listens.
fn locked() -> (u16, (Vec<RedisServer>, Cashew)) {
    let servers = farm::many(2, || RedisServer::start_with(&["--requirepass", PASSWORD]));
    let addresses: Vec<String> = servers.iter().map(|server| server.addr().to_string()).collect();
    let port = ports::free();
    let auth = format!("redis_auth: {PASSWORD}");
    let options = ["redis: true", &auth, "hash_tag: \"{}\"", "hash: murmur"];
    let proxy = farm::proxy(&farm::pool(&format!("127.0.0.1:{port}"), &addresses, &options), 2);
    (port, (servers, proxy))
}

/// Where the scripts are, and what they need.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// What a program wrote, and how it ended.
fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}

/// Tells that tests are left out, past what cargo hides of tests that succeed.
fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr().lock(), "\nskipped: {what}: {why}");
}
