//! Every file in `conf/` is a configuration that works.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn every_sample_loads() {
    let samples = samples();
    assert!(samples.len() >= 4, "the samples are gone: {samples:?}");
    for path in samples {
        let text = fs::read_to_string(&path).expect("a sample can be read");
        let settings = config::load(&text, &no_names).unwrap_or_else(|mistakes| {
            panic!("{}", mistakes.iter().map(|m| m.in_file(&path).to_string() + "\n").collect::<String>())
        });
        assert!(!settings.pools.is_empty());
    }
}

/// A file of this name would be what a start without `-c` picks up in a checkout.
#[test]
fn no_sample_is_the_default_configuration() {
    assert!(!samples().iter().any(|path| path.ends_with("conf/nutcracker.yml")));
}

/// Files that say they work with twemproxy do. Skipped, with a note, where it is not installed.
#[test]
fn samples_for_twemproxy_are_accepted_by_it() {
    let nutcracker = Path::new("/usr/sbin/nutcracker");
    if !nutcracker.exists() {
        eprintln!("skipped: {} is not installed", nutcracker.display());
        return;
    }
    for (name, expected) in [
        ("cache.yml", true),
        ("twemproxy-example.yml", true),
        ("redis-store.yml", false),
        ("many-pools.yml", false),
        ("cache-standby.yml", false),
    ] {
        let mut judge = Command::new(nutcracker);
        judge.arg("-t").arg("-c").arg(directory().join(name)).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(judge.status().expect("nutcracker runs").success(), expected, "{name}");
    }
}

fn samples() -> Vec<PathBuf> {
    let files =
        fs::read_dir(directory()).expect("conf/ is there").map(|entry| entry.expect("readable").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yml")).collect()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf")
}

fn no_names(host: &str, _: u16) -> io::Result<SocketAddr> {
    Err(io::Error::other(format!("a sample should not need to resolve {host}")))
}
