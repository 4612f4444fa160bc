//! From the command line to a running proxy: flags, configuration, background, log, pid file, control plane.

use crate::cli::{self, Action, DEFAULT_CONF_FILE, Invocation, Program};
use crate::pid_file::PidFile;
use crate::{ctl, daemon, demo};
use anyhow::{Context, Result, bail};
use config::{Pool, Process, Settings, UnknownCommands};
use control::{Log, Options, Ready, line};
use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
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
    let settings = config::load(&text, &config::system_resolver).map_err(|mistakes| {
        for mistake in mistakes {
            eprintln!("{}", mistake.in_file(file));
        }
        anyhow::Error::msg(invalid())
    })?;
    let mut wrong = false;
    for (pool, name) in unknown_commands(&settings) {
        let (file, pool_name) = (file.display(), &pool.name);
        let named =
            format!("{file}: pool '{pool_name}': \"disable\" names '{name}', which is no redis command");
        if pool.unknown_commands == UnknownCommands::Learn {
            eprintln!("{named} that cashew knows: it is switched off if servers have it");
        } else {
            wrong = true;
            eprintln!("{named}");
        }
    }
    if wrong { bail!(invalid()) } else { Ok(settings) }
}

/// What pools switch off that is no command: only the engine knows the commands.
fn unknown_commands(settings: &Settings) -> impl Iterator<Item = (&Pool, &str)> {
    let pools = settings.pools.iter();
    let named = pools.flat_map(|pool| pool.disable.iter().map(move |name| (pool, name.as_str())));
    named.filter(|(_, name)| engine::command::by_name(name.as_bytes()).is_none())
}

fn run(invocation: &Invocation, args: &[OsString]) -> Result<()> {
    let program = invocation.program;
    let file = conf_file(invocation, args)?;
    let (embedded, settings) = match &file {
        Some(file) => (None, load(program, file)?),
        None => {
            let (running, settings) = demo::start().context("cashew: embedded servers cannot start")?;
            (Some(running), settings)
        }
    };
    let mut process = Process::new(invocation.process.clone(), settings.process.clone());
    if let Some(name) = std::env::var_os("CASHEW_IO") {
        let io = name.to_str().and_then(config::Io::from_name);
        process.io = io.context("cashew: CASHEW_IO must be auto or epoll or io_uring")?;
    }
    if process.daemonize {
        if !daemon::is_background() {
            let told = daemon::start_again(args).context("cashew: cannot start in the background")?;
            return told.map_err(anyhow::Error::msg);
        }
        reactor::leave_terminal().context("cashew: cannot leave the terminal")?;
    }
    if embedded.is_some() && invocation.process.stats_addr.is_none() {
        process.stats_addr = demo::ADDRESS.to_string();
    }
    let log = open_log(&process)?;
    reactor::crash::trace_to(process.output.as_deref());
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
    let pid_file = Rc::new(RefCell::new(None));
    let ready = when_ready(&process, pid_file.clone());
    let workers = if process.threads == 0 { reactor::allowed_cpus() } else { process.threads as usize };
    let outcome =
        control::run(Options { settings, process, workers, version: VERSION, log: log.clone(), ready });
    if let Err(error) = &outcome {
        line!(log, Always, "cannot go on: {error}");
    }
    log.flush();
    drop((pid_file.take(), embedded));
    outcome.map_err(|error| anyhow::anyhow!("{program}: {error}"))
}

/// What is left to do once clients are served: the pid file, and in the background the end of stderr, which tells the
/// first process that this one serves.
fn when_ready(process: &Process, pid_file: Rc<RefCell<Option<PidFile>>>) -> Ready {
    let (path, background) = (process.pid_file.clone(), process.daemonize);
    Ready(Box::new(move || {
        if let Some(path) = path {
            let written = PidFile::write(&path).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("pid file '{}' cannot be written: {error}", path.display()),
                )
            })?;
            pid_file.replace(Some(written));
        }
        if background { daemon::tell_serving() } else { Ok(()) }
    }))
}

/// The file to read; nothing: start on embedded servers. That is for trying Cashew by hand: whoever calls it as
/// nutcracker, or as a service, and has no configuration is told so instead.
fn conf_file(invocation: &Invocation, args: &[OsString]) -> Result<Option<PathBuf>> {
    if let Some(file) = &invocation.conf_file {
        return Ok(Some(file.clone()));
    }
    let file = PathBuf::from(DEFAULT_CONF_FILE);
    if let Some(word) = args.iter().skip(1).find(|word| !is_flag(word) && is_configuration(word))
        && invocation.program == Program::Cashew
    {
        bail!("cashew: what is '{0}' for? A configuration is given with -c {0}", Path::new(word).display());
    }
    let flags = &invocation.process;
    let service = flags.daemonize.is_some() || flags.pid_file.is_some() || flags.output.is_some();
    let by_hand = invocation.program == Program::Cashew && !service;
    Ok(if by_hand && !file.exists() { None } else { Some(file) })
}

fn is_configuration(word: &OsString) -> bool {
    let path = Path::new(word);
    path.is_file() || path.extension().is_some_and(|end| end == "yml" || end == "yaml")
}

fn is_flag(word: &OsString) -> bool {
    word.to_string_lossy().starts_with('-')
}

fn open_log(process: &Process) -> Result<Arc<Log>> {
    let log = Log::open(process.output.as_deref(), process.verbose);
    let name = process.output.as_deref().unwrap_or(Path::new("stderr"));
    Ok(Arc::new(log.with_context(|| format!("cashew: log file '{}' cannot be opened", name.display()))?))
}
