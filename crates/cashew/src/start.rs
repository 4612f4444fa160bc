//! From the command line to a running proxy: flags, configuration, background, log, pid file, control plane.

use crate::cli::{self, Action, DEFAULT_CONF_FILE, Invocation, Program};
use crate::pid_file::PidFile;
use crate::{ctl, daemon, demo};
use anyhow::{Context, Result, bail};
use config::{Process, Settings};
use control::{Log, Options, line};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The product's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The whole program.
pub(crate) fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(order) = order(&args) {
        return finish(ctl::run(order));
    }
    let invocation = match cli::parse(args.iter().cloned()) {
        Ok(invocation) => invocation,
        Err(error) => {
            eprint!("{error}\n{}", cli::usage(error.program));
            return ExitCode::FAILURE;
        }
    };
    let program = invocation.program;
    let outcome = match invocation.action {
        Action::Inform { help, describe_stats } => {
            let stats = describe_stats.then(stats::describe);
            eprint!("{}", cli::information(program, help, stats.as_deref()));
            Ok(())
        }
        Action::TestConf => test_conf(&invocation),
        Action::Run => run(&invocation, &args),
    };
    finish(outcome)
}

/// What follows `ctl`; nothing when this is no order to a running process. Called as nutcracker there are none:
/// it ignores words.
fn order(args: &[OsString]) -> Option<&[OsString]> {
    let (name, rest) = args.split_first()?;
    let (word, order) = rest.split_first()?;
    (word == "ctl" && Path::new(name).file_name()? != "nutcracker").then_some(order)
}

fn finish(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn test_conf(invocation: &Invocation) -> Result<()> {
    let file = invocation.conf_file.clone().unwrap_or_else(|| DEFAULT_CONF_FILE.into());
    load(invocation.program, &file)?;
    eprintln!("{}", cli::verdict(invocation.program, &file, true));
    Ok(())
}

/// Reads and checks a configuration; every mistake goes to stderr.
fn load(program: Program, file: &Path) -> Result<Settings> {
    let invalid = || cli::verdict(program, file, false);
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{program}: configuration file '{}' cannot be read: {error}", file.display());
            bail!(invalid());
        }
    };
    config::load(&text, &config::system_resolver).map_err(|mistakes| {
        for mistake in mistakes {
            eprintln!("{}", mistake.in_file(file));
        }
        anyhow::Error::msg(invalid())
    })
}

fn run(invocation: &Invocation, args: &[OsString]) -> Result<()> {
    let program = invocation.program;
    let file = conf_file(invocation);
    let (embedded, settings) = match &file {
        Some(file) => (None, load(program, file)?),
        None => {
            let (running, settings) = demo::start().context("cashew: embedded servers cannot start")?;
            (Some(running), settings)
        }
    };
    let process = Process::new(invocation.process.clone(), settings.process.clone());
    if process.daemonize {
        if !daemon::is_background() {
            return daemon::start_again(args).context("cashew: cannot start in the background");
        }
        reactor::leave_terminal().context("cashew: cannot leave the terminal")?;
    }
    let log = open_log(&process)?;
    reactor::crash::trace_to(process.output.as_deref());
    let pid_file = process.pid_file.as_deref().map(PidFile::write).transpose().inspect_err(|error| {
        line!(log, Always, "pid file cannot be written: {error}");
    });
    let pid_file = pid_file.context("cashew: pid file cannot be written")?;
    line!(
        log,
        Always,
        "cashew-{VERSION} built for {} started on pid {}",
        reactor::system(),
        std::process::id()
    );
    if embedded.is_some() {
        print!("{}", demo::welcome(process.stats_port));
    }
    let workers = if process.threads == 0 { reactor::allowed_cpus() } else { process.threads as usize };
    let outcome = control::run(Options { settings, process, workers, version: VERSION, log: log.clone() });
    if let Err(error) = &outcome {
        line!(log, Always, "cannot go on: {error}");
    }
    log.flush();
    drop((pid_file, embedded));
    outcome.map_err(|error| anyhow::anyhow!("{program}: {error}"))
}

/// The file to read; nothing: start on embedded servers.
fn conf_file(invocation: &Invocation) -> Option<PathBuf> {
    invocation
        .conf_file
        .clone()
        .or_else(|| Some(PathBuf::from(DEFAULT_CONF_FILE)).filter(|path| path.exists()))
}

fn open_log(process: &Process) -> Result<Arc<Log>> {
    let log = Log::open(process.output.as_deref(), process.verbose);
    let name = process.output.as_deref().unwrap_or(Path::new("stderr"));
    Ok(Arc::new(log.with_context(|| format!("cashew: log file '{}' cannot be opened", name.display()))?))
}
