//! What cargo knows of our crates and of all that they depend on.

use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::root;

pub(super) fn read() -> anyhow::Result<Value> {
    let asked = Command::new(env!("CARGO"))
        // Of other systems' crates, nothing is downloaded.
        .args(["metadata", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .context("cargo metadata cannot be run")?;
    if !asked.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&asked.stderr).trim());
    }
    serde_json::from_slice(&asked.stdout).context("cargo metadata")
}

pub(super) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages")
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
