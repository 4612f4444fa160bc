//! `cargo xtask gen`: files that are made from data, committed, and never edited by hand.
//!
//! ```text
//!   engine/data/redis-commands.csv ─┐            ┌─► engine/src/command/redis.rs
//!   engine/data/redis-routes.csv ───┴─ rows.rs ──┴─► docs/commands.md
//!   config::markdown() ────────────────────────────► docs/config.md
//! ```

mod docs;
mod rows;
mod table;

/// The lookup's own hash, so that the table is laid out for the very code that reads it.
#[path = "../../crates/engine/src/command/hash.rs"]
mod hash;

use std::path::PathBuf;

use anyhow::{Context, bail};

/// Writes every generated file that differs; with `--check` writes nothing and fails if any does.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask gen [--check]"),
    };
    let stale = stale()?;
    if check && !stale.is_empty() {
        let names: Vec<String> = stale.iter().map(|(path, _)| path.display().to_string()).collect();
        bail!("out of date: {}; run `cargo xtask gen` and commit the result", names.join(", "));
    }
    for (path, text) in stale {
        std::fs::write(crate::root().join(&path), text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The generated files, by path from the root, that are not what they should be.
fn stale() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let data = crate::root().join("crates/engine/data");
    let rows = rows::read(&data.join("redis-commands.csv"), &data.join("redis-routes.csv"))?;
    let files = [
        ("crates/engine/src/command/redis.rs", table::rust(&rows)?),
        ("docs/commands.md", docs::markdown(&rows)),
        ("docs/config.md", config::markdown()),
    ];
    let differs = |path: &str, text: &str| {
        std::fs::read_to_string(crate::root().join(path)).ok().as_deref() != Some(text)
    };
    Ok(files
        .into_iter()
        .filter(|(path, text)| differs(path, text))
        .map(|(path, text)| (path.into(), text))
        .collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_files_are_up_to_date() {
        super::run(&["--check".to_owned()]).unwrap();
    }
}
