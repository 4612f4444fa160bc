//! Client libraries of Python. They run with the interpreter named by `CASHEW_TEST_PYTHON`, which must have what
//! `requirements.txt` lists, or else in an environment that the first run makes for itself and later ones find.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use testkit::Memcached;

use super::{PASSWORD, folder, locked, said};
use crate::farm::Farm;

#[test]
fn redis_py() {
    for (threads, options) in [(1, &[][..]), (2, &["server_connections: 3"])] {
        let farm = Farm::redis(threads, options);
        run("redis_py.py", &[&farm.port().to_string()]);
    }
}

#[test]
fn redis_py_with_a_password() {
    let (port, _pool) = locked();
    run("redis_py.py", &[&port.to_string(), PASSWORD]);
}

#[test]
fn redis_py_for_clusters() {
    let farm = Farm::redis(2, &["cluster_emulation: true"]);
    run("redis_py_cluster.py", &[&farm.port().to_string()]);
}

#[test]
fn redis_py_with_a_cache() {
    let version = "redis_version: 7.4.0";
    for (threads, options) in [(1, &[version][..]), (2, &[version, "server_connections: 3"])] {
        let farm = Farm::redis(threads, options);
        run("redis_py_cached.py", &[&farm.port().to_string()]);
    }
}

#[test]
fn pymemcache() {
    for (threads, options) in [(1, &[][..]), (2, &["server_connections: 3"])] {
        let farm: Farm<Memcached> = Farm::memcached(threads, options);
        run("pymemcache_client.py", &[&farm.port().to_string()]);
    }
}

#[track_caller]
fn run(script: &str, args: &[&str]) {
    let python = PYTHON.get_or_init(|| python().unwrap_or_else(|e| panic!("{e}")));
    let output = Command::new(python).arg(folder().join(script)).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}. {HELP}", python.display()));
    assert!(output.status.success(), "{script} {}: {}", args.join(" "), said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
}

/// The interpreter to use, made ready if need be.
fn python() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("CASHEW_TEST_PYTHON") {
        return Ok(PathBuf::from(named));
    }
    let requirements = folder().join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).map_err(|e| e.to_string())?;
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let (python, done) = (place.join("bin/python"), place.join("requirements.txt"));
    if std::fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    step(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    step(Command::new(&python).args(install).arg(&requirements))?;
    // Last, so that half an environment is not taken for a whole one.
    std::fs::write(&done, wanted).map_err(|e| e.to_string())?;
    Ok(python)
}

fn step(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}\n{HELP}", said(&output))),
        Err(e) => Err(format!("{command:?}: {e}\n{HELP}")),
    }
}

static PYTHON: OnceLock<PathBuf> = OnceLock::new();

const HELP: &str = "These tests need Python 3 with venv and pip and its package index (on Debian: apt-get install \
                    python3-venv), or CASHEW_TEST_PYTHON set to a Python that has what \
                    crates/cashew/tests/clients/requirements.txt lists.";
