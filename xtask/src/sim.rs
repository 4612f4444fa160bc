//! `cargo xtask sim`: simulated worlds around the engine, as many as there is time for.
//!
//! The worlds are `crates/engine/tests/sim`; the ordinary tests run the first ten thousand of them.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

const USAGE: &str = "usage: cargo xtask sim --seeds N [--from S]";

/// Runs the worlds of seeds `S` (0 if not given) to `S + N`. Fails when one does, saying how to replay it.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let (mut seeds, mut from) = (None, 0);
    for pair in args.chunks(2) {
        let [name, value] = pair else { bail!(USAGE) };
        let value: u64 = value.parse().with_context(|| format!("{name} {value}: not a number"))?;
        match name.as_str() {
            "--seeds" => seeds = Some(value),
            "--from" => from = value,
            _ => bail!(USAGE),
        }
    }
    let Some(seeds) = seeds else { bail!(USAGE) };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = |more: &[&str]| {
        let mut command = Command::new(&cargo);
        command.current_dir(crate::root()).args(["test", "--quiet", "--package", "engine", "--test", "sim"]);
        command.args(more).env("SIM_SEEDS", seeds.to_string()).env("SIM_FROM", from.to_string());
        command.env_remove("SIM_SEED").status().context("cargo")
    };
    if !test(&["--no-run"])?.success() {
        bail!("the simulator does not build");
    }
    let start = Instant::now();
    if !test(&["every_seed_holds", "--", "--exact"])?.success() {
        bail!("a world does not hold");
    }
    println!("{:.0} worlds/s", seeds as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
