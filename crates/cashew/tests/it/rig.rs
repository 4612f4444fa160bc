//! What the modules share: the binary under test, configurations, the stats port.

use std::io::Read;
use std::net::TcpStream;

use serde_json::Value;
use testkit::{Cashew, wait};

/// The binary under test.
pub(crate) const CASHEW: &str = env!("CARGO_BIN_EXE_cashew");

/// Starts cashew, in its own temporary directory, and waits until all its pools accept.
#[track_caller]
pub(crate) fn cashew(config: &str, flags: &[&str]) -> Cashew {
    Cashew::start(CASHEW, config, flags).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether there is a nutcracker to compare with; says so when there is none.
pub(crate) fn has_nutcracker() -> bool {
    let found = std::path::Path::new(NUTCRACKER).exists();
    if !found {
        eprintln!("skipped: {NUTCRACKER} is not installed (apt-get install nutcracker)");
    }
    found
}

/// Waits until the one client per pool that waited for the pools to listen has been counted out again.
#[track_caller]
pub(crate) fn settled(stats_port: u16, pools: &[&str]) {
    wait::until("the first clients to be gone", || {
        let now = stats(stats_port);
        let gone =
            |pool: &&str| number(&now, &[pool, "client_eof"]) + number(&now, &[pool, "client_err"]) == 1;
        pools.iter().all(gone)
    });
}

/// As Debian installs it.
pub(crate) const NUTCRACKER: &str = "/usr/sbin/nutcracker";

/// A pool of a configuration: its settings one a line, its servers as the file has them.
pub(crate) fn pool<S: AsRef<str>>(name: &str, port: u16, settings: &str, servers: &[S]) -> String {
    let mut text = format!("{name}:\n  listen: 127.0.0.1:{port}\n");
    for line in settings.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text += &format!("  {line}\n");
    }
    text += "  servers:\n";
    for server in servers {
        text += &format!("   - {}\n", server.as_ref());
    }
    text
}

/// What a stats port says, byte for byte.
#[track_caller]
pub(crate) fn stats_text(port: u16) -> String {
    let mut text = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the stats port accepts");
    stream.read_to_string(&mut text).expect("the stats port answers and closes");
    text
}

/// What a stats port says.
#[track_caller]
pub(crate) fn stats(port: u16) -> Value {
    let text = stats_text(port);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The number at a path of the stats, such as `["pool", "server", "requests"]`.
#[track_caller]
pub(crate) fn number(stats: &Value, path: &[&str]) -> i64 {
    let found = path.iter().try_fold(stats, |value, name| value.get(name));
    found.and_then(Value::as_i64).unwrap_or_else(|| panic!("no number at {path:?} in {stats}"))
}
