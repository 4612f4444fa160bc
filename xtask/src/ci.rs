//! `cargo xtask ci`: everything that must hold before a change is taken, here as on the CI machine.
//!
//! Quick checks first, so that a forgotten `cargo fmt` does not cost a build. Stops at the first failure.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::{install, root};

/// A step is a command, so that it can be run again alone.
struct Step {
    name: &'static str,
    /// Words apart by blanks, variables of the environment first. `cargo xtask` is this very program.
    command: &'static str,
    /// What may mend it.
    mend: Option<&'static str>,
    /// Programs without which it cannot run. The tests know themselves what to do without a server.
    needs: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step { name: "format", command: "cargo fmt --all --check", mend: Some("cargo fmt --all"), ..STEP },
    Step { name: "tidy", command: "cargo xtask tidy", ..STEP },
    Step {
        name: "generated files",
        command: "cargo xtask gen --check",
        mend: Some("cargo xtask gen"),
        ..STEP
    },
    Step { name: "clippy", command: "cargo clippy --workspace --all-targets -- -D warnings", ..STEP },
    Step { name: "build of the tests", command: "cargo test --workspace --no-run", ..STEP },
    Step { name: "tests", command: "cargo test --workspace", ..STEP },
    // What goes by io_uring above, where this kernel has it.
    Step { name: "tests by epoll", command: "CASHEW_IO=epoll cargo test -p cashew --test it", ..STEP },
    Step { name: "counts", command: "cargo xtask count", needs: &["valgrind", "strace"], ..STEP },
];

const STEP: Step = Step { name: "", command: "", mend: None, needs: &[] };

/// Runs all steps; with `--no-install`, with the servers that are there.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let install = match args {
        [] => true,
        [flag] if flag == "--no-install" => false,
        _ => bail!("usage: cargo xtask ci [--no-install]"),
    };
    let mut times = Times(Vec::new());
    times.take("needs", || needs(install))?;
    let mut left_out = Vec::new();
    for step in STEPS {
        match step.needs.iter().find(|program| !install::there(program)) {
            // Without --no-install it was installed by now.
            Some(missing) => left_out.push(format!("left out, as there is no {missing}: {}", step.command)),
            None => times.take(step.name, || step.run())?,
        }
    }
    drop(times);
    println!("\nall of it holds");
    left_out.iter().for_each(|step| println!("{step}"));
    Ok(())
}

fn needs(install: bool) -> anyhow::Result<()> {
    for tool in ["fmt", "clippy"] {
        let asked = Command::new(env!("CARGO")).args([tool, "--version"]).stdin(Stdio::null()).output();
        let answer = asked.context("cargo cannot be run")?;
        if !answer.status.success() {
            let reason = String::from_utf8_lossy(&answer.stderr);
            bail!("`cargo {tool}` does not run: rustup component add rustfmt clippy\n{}", reason.trim());
        }
    }
    if install { install::servers() } else { Ok(()) }
}

impl Step {
    fn run(&self) -> anyhow::Result<()> {
        let (set, words): (Vec<&str>, Vec<&str>) =
            self.command.split(' ').partition(|word| word.contains('='));
        let (program, rest) = match words[..] {
            ["cargo", "xtask", ref rest @ ..] => (std::env::current_exe()?, rest),
            ["cargo", ref rest @ ..] => (env!("CARGO").into(), rest),
            _ => unreachable!("every step is a cargo command"),
        };
        let mut command = Command::new(program);
        command.envs(set.iter().filter_map(|word| word.split_once('=')));
        command.args(rest).current_dir(root()).stdin(Stdio::null()).env("PATH", install::search_path());
        let status = command.status().with_context(|| self.command)?;
        if !status.success() {
            let mend = self.mend.map(|mend| format!("\nperhaps mended by: {mend}")).unwrap_or_default();
            bail!("failed ({status})\nrun it again alone: {}{mend}", self.command);
        }
        Ok(())
    }
}

/// How long each step took; told at the end, however it comes.
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    fn take<T>(&mut self, name: &'static str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.0.push((name, start.elapsed()));
        outcome.context(name)
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        println!("\n== times");
        let total = self.0.iter().map(|(_, time)| *time).sum();
        for (name, time) in self.0.iter().copied().chain([("all", total)]) {
            println!("{name:20}{:7.1} s", time.as_secs_f64());
        }
    }
}
