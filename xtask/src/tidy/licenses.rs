//! Dependencies come from crates.io, under a license that `deny.toml` allows. cargo-deny knows more; this needs nothing
//! installed.

use serde_json::Value;

use super::File;
use super::metadata::{packages, text};

pub(super) fn check(files: &[File], metadata: &Value) -> Vec<String> {
    let allowed = files.iter().find(|file| file.path == "deny.toml").map(allowed).unwrap_or_default();
    let others = packages(metadata).filter(|package| !package["source"].is_null());
    others.filter_map(|package| wrong(package, &allowed)).collect()
}

fn wrong(package: &Value, allowed: &[&str]) -> Option<String> {
    let (name, source, license) = (text(package, "name"), text(package, "source"), text(package, "license"));
    if source != CRATES_IO {
        return Some(format!("{name}: comes from {source}, not from crates.io"));
    }
    (!may(license, allowed))
        .then(|| format!("{name}: its license, \"{license}\", is not allowed in deny.toml"))
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The list `allow` of deny.toml.
fn allowed(file: &File) -> Vec<&str> {
    let list = file.text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map_or_else(Vec::new, |(list, _)| list.split('"').skip(1).step_by(2).collect())
}

/// An expression such as `(MIT OR Apache-2.0) AND Unicode-3.0`; older crates write `MIT/Apache-2.0`. Of each part, one
/// choice must be allowed. Deeper nesting, which nobody uses, may be refused by mistake.
fn may(license: &str, allowed: &[&str]) -> bool {
    let choice = |choice: &str| allowed.contains(&choice.trim_matches(['(', ')', ' ']));
    license.split(" AND ").all(|part| part.replace('/', " OR ").split(" OR ").any(choice))
}
