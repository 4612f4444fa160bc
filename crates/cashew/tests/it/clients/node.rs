//! Client libraries of Node.js: node-redis and ioredis.
//!
//! The first run installs what `package-lock.json` lists beside the build, later ones find it. Without Node.js, or
//! where its registry cannot be reached, these tests are left out and say so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{PASSWORD, folder, locked, said, skipped};
use crate::farm::Farm;

#[test]
fn node_redis() {
    every_pool("node_redis.js");
}

#[test]
fn ioredis() {
    every_pool("ioredis.js");
}

#[track_caller]
fn every_pool(script: &str) {
    let modules = match MODULES.get_or_init(modules) {
        Ok(modules) => modules,
        Err(Unready::Left(why)) => return skipped(script, why),
        Err(Unready::Failed(why)) => panic!("{why}"),
    };
    for threads in [1, 2] {
        let farm = Farm::redis(threads, &["server_connections: 2"]);
        run(modules, script, &[&farm.port().to_string()]);
    }
    let (port, _pool) = locked();
    run(modules, script, &[&port.to_string(), PASSWORD]);
}

#[track_caller]
fn run(modules: &Path, script: &str, args: &[&str]) {
    let mut node = Command::new("node");
    let output = node.env("NODE_PATH", modules).arg(folder().join(script)).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("node: {e}"));
    assert!(output.status.success(), "{script} {}: {}", args.join(" "), said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
}

/// Why there are no libraries.
enum Unready {
    /// Something is not here that not every machine has.
    Left(String),
    /// Something is here and does not work.
    Failed(String),
}

/// The folder of the libraries, made ready if need be.
fn modules() -> Result<PathBuf, Unready> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    let (modules, done) = (place.join("node_modules"), place.join("installed.json"));
    let missing =
        |program: &str| Unready::Left(format!("{program} is not installed (apt-get install nodejs npm)"));
    let version = Command::new("node").arg("--version").output().map_err(|_| missing("node"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < OLDEST) {
        return Err(Unready::Left(format!("node {version} is too old: it takes {OLDEST}")));
    }
    Command::new("npm").arg("--version").output().map_err(|_| missing("npm"))?;
    let failed = |e: std::io::Error| Unready::Failed(format!("{}: {e}", place.display()));
    let wanted = std::fs::read_to_string(folder().join("package-lock.json")).map_err(failed)?;
    if std::fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(modules);
    }
    std::fs::create_dir_all(&place).map_err(failed)?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(folder().join(file), place.join(file)).map_err(failed)?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&place).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    npm.args(["--fetch-retries=1", "--fetch-timeout=30000"]);
    let output = npm.output().map_err(failed)?;
    if !output.status.success() {
        let told = format!("{npm:?}: {}", said(&output));
        let away = AWAY.iter().any(|code| told.contains(code));
        return Err(if away { Unready::Left(told) } else { Unready::Failed(told) });
    }
    // Last, so that half an installation is not taken for a whole one.
    std::fs::write(&done, wanted).map_err(failed)?;
    Ok(modules)
}

/// The Node.js that the libraries run with; that of Debian 12.
const OLDEST: u32 = 18;

/// How npm says that it reaches no registry.
const AWAY: &[&str] = &[
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENETUNREACH",
    "ERR_SOCKET_TIMEOUT",
];

static MODULES: OnceLock<Result<PathBuf, Unready>> = OnceLock::new();
