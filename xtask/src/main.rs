//! The project's scripts: `cargo xtask <task>`.

mod ci;
mod count;
mod r#gen;
mod install;
mod sim;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

/// One script.
struct Task {
    name: &'static str,
    help: &'static str,
    /// Gets the arguments after the task's name.
    run: fn(&[String]) -> anyhow::Result<()>,
}

const TASKS: &[Task] = &[
    Task { name: "ci", help: "everything that must hold before a change is taken", run: ci::run },
    Task {
        name: "count",
        help: "instructions, system calls and allocations per request, against the record; `--write` records",
        run: count::run,
    },
    Task {
        name: "gen",
        help: "write what is generated from data; `--check` only says what is out of date",
        run: r#gen::run,
    },
    Task { name: "sim", help: "simulated worlds around the engine: `--seeds N [--from S]`", run: sim::run },
    Task { name: "tidy", help: "the rules of the house that no compiler knows", run: tidy::run },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = args.split_first();
    let found = asked.and_then(|(name, rest)| Some((TASKS.iter().find(|task| task.name == name)?, rest)));
    let Some((task, rest)) = found else {
        eprintln!("usage: cargo xtask <task>");
        TASKS.iter().for_each(|task| eprintln!("  {:8} {}", task.name, task.help));
        return ExitCode::FAILURE;
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", task.name);
            ExitCode::FAILURE
        }
    }
}

/// The root of the project.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}
