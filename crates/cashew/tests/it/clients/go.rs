//! Client libraries of Go: redigo, and go-redis where it is installed.
//!
//! Both are taken from Debian's packages, so that nothing is downloaded: golang-github-gomodule-redigo-dev, and after Debian 13
//! golang-github-redis-go-redis-dev. `CASHEW_TEST_GOPATH` names another place, laid out as a GOPATH is. Where Go or a library is
//! missing, its test is left out and says so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PASSWORD, folder, locked, said, skipped};
use crate::farm::Farm;

#[test]
fn redigo() {
    every_pool("redigo", "github.com/gomodule/redigo", "golang-github-gomodule-redigo-dev");
}

#[test]
fn go_redis() {
    every_pool("go_redis", "github.com/redis/go-redis", "golang-github-redis-go-redis-dev, after Debian 13");
}

#[track_caller]
fn every_pool(name: &str, library: &str, package: &str) {
    let libraries = std::env::var_os("CASHEW_TEST_GOPATH").unwrap_or_else(|| "/usr/share/gocode".into());
    if !Path::new(&libraries).join("src").join(library).is_dir() {
        return skipped(name, &format!("{library} is not installed (apt-get install {package})"));
    }
    let Some(program) = built(name, &libraries) else {
        return skipped(name, "Go is not installed (apt-get install golang-go)");
    };
    for threads in [1, 2] {
        let farm = Farm::redis(threads, &["server_connections: 2"]);
        run(&program, &[&farm.port().to_string()]);
    }
    let (port, _pool) = locked();
    run(&program, &[&port.to_string(), PASSWORD]);
}

/// The compiled program; none where there is no compiler.
#[track_caller]
fn built(name: &str, libraries: &OsString) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let (ours, program) = (folder().join("go"), place.join(name));
    let path = std::env::join_paths([ours.as_os_str(), libraries]).expect("no colons in it");
    let mut go = Command::new("go");
    go.current_dir(ours.join("src").join(name)).args(["build", "-o"]).arg(&program);
    // As Debian builds: from folders, without asking a registry for modules or for another compiler.
    go.env("GOPATH", path).env("GO111MODULE", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    let output = go.env("GOCACHE", place.join("cache")).output().ok()?;
    assert!(output.status.success(), "{go:?}: {}", said(&output));
    Some(program)
}

#[track_caller]
fn run(program: &Path, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    assert!(output.status.success(), "{} {}: {}", program.display(), args.join(" "), said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
}
