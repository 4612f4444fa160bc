//! The command line: nutcracker's, to the letter, and `--threads`.
//!
//! Init scripts and packages call us the way they call nutcracker, so the contract is GNU `getopt_long` as
//! nutcracker uses it: options may be bundled (`-tc FILE`), abbreviated (`--conf FILE`), stand after
//! operands, and the first bad one ends the run with one known line. No argument library does exactly that,
//! which is why this is written by hand, over a table. Operands are ignored, as nutcracker does.
//!
//! This file only reads arguments and words what is printed. Nothing in here opens a file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use config::options::{MBUF_MAX, MBUF_MIN, NUMBER_MAX, THREADS_MAX, VERBOSE_MAX};
use config::{Millis, ProcessSection};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Invocation {
    /// The name it was called by.
    pub(crate) program: Program,
    /// What to do.
    pub(crate) action: Action,
    /// The file given with `-c`. Without one the caller decides: [`DEFAULT_CONF_FILE`] if there is one.
    pub(crate) conf_file: Option<PathBuf>,
    /// What the flags say about the process; `None` where they are silent.
    pub(crate) process: ProcessSection,
}

/// What to do, in nutcracker's order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Print [`information`] to standard error and exit with status 0.
    Inform { help: bool, describe_stats: bool },
    /// Check the configuration file, say so, and exit with status 0 or 1.
    TestConf,
    /// Run the proxy.
    Run,
}

/// The name we were called by: a link called `nutcracker` makes us answer as nutcracker does, for the tools
/// that read the first line of `-V` or look for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The file name of the program is `nutcracker`.
    Nutcracker,
    /// It is anything else.
    Cashew,
}

/// A bad option. Prints as one line; the caller adds [`usage`] and exits with status 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    /// Whose name starts the line.
    pub(crate) program: Program,
    reason: String,
}

/// The configuration file nutcracker reads without `-c`, relative to the working directory.
pub(crate) const DEFAULT_CONF_FILE: &str = "conf/nutcracker.yml";

/// Reads the arguments, the program's own name first.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Invocation, CliError> {
    let program = Program::called(args.next().as_deref());
    let mut said = Said::default();
    read_all(args, &mut said).map_err(|reason| CliError { program, reason })?;
    let action = match said {
        Said { help: false, version: false, describe_stats: false, test_conf: true, .. } => Action::TestConf,
        Said { help: false, version: false, describe_stats: false, test_conf: false, .. } => Action::Run,
        Said { help, describe_stats, .. } => Action::Inform { help, describe_stats },
    };
    Ok(Invocation { program, action, conf_file: said.conf_file, process: said.process })
}

/// What [`Action::Inform`] prints; `stats` describes the stats, one a line.
pub(crate) fn information(program: Program, help: bool, stats: Option<&str>) -> String {
    let usage =
        if help { usage(program) + &config::help() + crate::ctl::USAGE + "\n" } else { String::new() };
    format!("{}{usage}{}", version_block(program), stats.unwrap_or_default())
}

/// The lines of `-V`. Tools parse the first.
pub(crate) fn version_block(program: Program) -> String {
    let version = match program {
        Program::Nutcracker => "0.5.0",
        Program::Cashew => env!("CARGO_PKG_VERSION"),
    };
    format!("This is {program}-{version}\nasync event backend: epoll\n\n")
}

/// How to call the program.
pub(crate) fn usage(program: Program) -> String {
    let mut text = format!(
        "Usage: {program} [-?hVdDt] [-v verbosity level] [-o output file]\n\
         {0:1$} [-c conf file] [-s stats port] [-a stats addr]\n\
         {0:1$} [-i stats interval] [-p pid file] [-m mbuf size]\n\
         {0:1$} [--threads number]\n\nOptions:\n",
        "",
        "Usage: ".len() + program.name().len(),
    );
    for flag in FLAGS {
        let short = flag.short.map(|short| format!("-{short},")).unwrap_or_default();
        let value = flag.value.map(|value| format!("={value}")).unwrap_or_default();
        text += &format!("  {short:3} --{:16} : {}\n", format!("{}{value}", flag.long), flag.help);
    }
    text + "\n"
}

/// The line that ends `-t`, and a start with a bad configuration.
pub(crate) fn verdict(program: Program, conf_file: &Path, ok: bool) -> String {
    let verdict = if ok { "ok" } else { "invalid" };
    format!("{program}: configuration file '{}' syntax is {verdict}", conf_file.display())
}

impl Program {
    fn called(path: Option<&OsStr>) -> Self {
        match path.and_then(|path| Path::new(path).file_name()) {
            Some(name) if name == "nutcracker" => Self::Nutcracker,
            _ => Self::Cashew,
        }
    }

    /// The name that starts every line on standard error.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nutcracker => "nutcracker",
            Self::Cashew => "cashew",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.program, self.reason)
    }
}

impl std::error::Error for CliError {}

/// One flag.
struct Flag {
    short: Option<char>,
    long: &'static str,
    /// What the usage calls its value; none if it takes none.
    value: Option<&'static str>,
    /// What a missing value is said to be: nutcracker's word.
    wants: &'static str,
    help: &'static str,
}

const fn flag(
    short: char,
    long: &'static str,
    value: &'static str,
    wants: &'static str,
    help: &'static str,
) -> Flag {
    let value = if value.is_empty() { None } else { Some(value) };
    Flag { short: Some(short), long, value, wants, help }
}

/// nutcracker's flags first: an abbreviation that fits one of them means that one, whatever else it fits.
#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    flag('h', "help", "", "", "print this help and exit"),
    flag('V', "version", "", "", "print the version and exit"),
    flag('t', "test-conf", "", "", "check the configuration file and exit"),
    flag('d', "daemonize", "", "", "run in the background"),
    flag('D', "describe-stats", "", "", "explain the statistics and exit"),
    flag('v', "verbose", "N", "a number", "log level (default: 5, min: 0, max: 11)"),
    flag('o', "output", "S", "a file name", "log file (default: stderr)"),
    flag('c', "conf-file", "S", "a file name", "configuration file (default: conf/nutcracker.yml)"),
    flag('s', "stats-port", "N", "a number", "port of the statistics (default: 22222)"),
    flag('a', "stats-addr", "S", "a string", "address, name or /path of the statistics (default: 0.0.0.0)"),
    flag('i', "stats-interval", "N", "a number", "how often statistics are added up, in msec (default: 30000 msec)"),
    flag('p', "pid-file", "S", "a file name", "file for the process id (default: off)"),
    flag('m', "mbuf-size", "N", "a number", "size of a buffer in bytes (default: 16384 bytes)"),
    Flag { short: None, long: THREADS, value: Some("N"), wants: "a number", help: "worker threads (default: 0, one per processor)" },
];

const THREADS: &str = "threads";

/// What was said so far.
#[derive(Default)]
struct Said {
    help: bool,
    version: bool,
    describe_stats: bool,
    test_conf: bool,
    conf_file: Option<PathBuf>,
    process: ProcessSection,
}

/// Left to right; the first bad option ends it.
fn read_all(mut args: impl Iterator<Item = OsString>, said: &mut Said) -> Result<(), String> {
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"--" => return Ok(()),
            [b'-', b'-', long @ ..] => read_long(long, &mut args, said)?,
            [b'-', bundle @ ..] if !bundle.is_empty() => read_bundle(bundle, &mut args, said)?,
            _operand => {}
        }
    }
    Ok(())
}

/// `--name`, `--name=value` or `--name value`.
fn read_long(arg: &[u8], args: &mut impl Iterator<Item = OsString>, said: &mut Said) -> Result<(), String> {
    let equals = arg.iter().position(|byte| *byte == b'=');
    let (name, glued) = match equals {
        Some(at) => (&arg[..at], Some(&arg[at + 1..])),
        None => (arg, None),
    };
    let flag = find_long(name)?;
    match (flag.value, glued) {
        (None, None) => said.switch(flag),
        (None, Some(_)) => return Err(invalid(flag.short.map_or(flag.long.into(), String::from))),
        (Some(_), Some(value)) => said.value(flag, OsString::from_vec(value.to_vec()))?,
        (Some(_), None) => said.value(flag, args.next().ok_or_else(|| flag.lacks_value())?)?,
    }
    Ok(())
}

/// The flag of that name, or the one that it is the beginning of.
fn find_long(name: &[u8]) -> Result<&'static Flag, String> {
    let name = String::from_utf8_lossy(name);
    if let Some(exact) = FLAGS.iter().find(|flag| flag.long == name) {
        return Ok(exact);
    }
    let (own, nutcrackers): (Vec<&Flag>, Vec<&Flag>) =
        FLAGS.iter().filter(|flag| flag.long.starts_with(&*name)).partition(|flag| flag.short.is_none());
    match (nutcrackers.as_slice(), own.as_slice()) {
        ([only], _) | ([], [only]) => Ok(only),
        // nutcracker prints a NUL or rubbish here.
        _ => Err(invalid(name.into_owned())),
    }
}

/// Letters after one dash. The first that takes a value takes the rest, or the next argument.
fn read_bundle(
    bundle: &[u8],
    args: &mut impl Iterator<Item = OsString>,
    said: &mut Said,
) -> Result<(), String> {
    for (at, letter) in bundle.iter().enumerate() {
        let letter = char::from(*letter);
        let flag =
            FLAGS.iter().find(|flag| flag.short == Some(letter)).ok_or_else(|| invalid(letter.into()))?;
        if flag.value.is_none() {
            said.switch(flag);
            continue;
        }
        let rest = &bundle[at + 1..];
        let value = if rest.is_empty() { args.next() } else { Some(OsString::from_vec(rest.to_vec())) };
        return said.value(flag, value.ok_or_else(|| flag.lacks_value())?);
    }
    Ok(())
}

fn invalid(option: String) -> String {
    format!("invalid option -- '{option}'")
}

impl Flag {
    /// As the messages name it.
    fn name(&self) -> String {
        self.short.map_or_else(|| format!("--{}", self.long), |short| format!("-{short}"))
    }

    fn lacks_value(&self) -> String {
        format!("option {} requires {}", self.name(), self.wants)
    }
}

impl Said {
    fn switch(&mut self, flag: &Flag) {
        match flag.long {
            "help" => self.help = true,
            "version" => self.version = true,
            "describe-stats" => self.describe_stats = true,
            "test-conf" => self.test_conf = true,
            "daemonize" => self.process.daemonize = Some(true),
            other => unreachable!("--{other} takes a value"),
        }
    }

    fn value(&mut self, flag: &Flag, value: OsString) -> Result<(), String> {
        let number = digits(&value);
        let fitting = |max: u64| number.filter(|number| *number <= max).ok_or_else(|| flag.lacks_value());
        match flag.long {
            "conf-file" => self.conf_file = Some(value.into()),
            "output" => self.process.output = Some(value.into()),
            "pid-file" => self.process.pid_file = Some(value.into()),
            "stats-addr" => self.process.stats_addr = Some(value.to_string_lossy().into_owned()),
            "verbose" => {
                let level = fitting(u64::MAX)?.min(VERBOSE_MAX);
                self.process.verbose = Some(u8::try_from(level).expect("the most verbose level is 11"));
            }
            "stats-interval" => self.process.stats_interval = Some(Millis(fitting(NUMBER_MAX)?)),
            "stats-port" => self.process.stats_port = Some(port(flag, fitting(u64::MAX)?)?),
            "mbuf-size" => self.process.mbuf_size = Some(mbuf_size(number)?),
            THREADS => self.process.threads = Some(threads(fitting(u64::MAX)?)?),
            other => unreachable!("--{other} takes no value"),
        }
        Ok(())
    }
}

fn port(flag: &Flag, number: u64) -> Result<u16, String> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("option {} value {number} is not a valid port", flag.name()))
}

fn mbuf_size(number: Option<u64>) -> Result<u32, String> {
    match number {
        None | Some(0) => Err("option -m requires a non-zero number".to_owned()),
        Some(size) => u32::try_from(size)
            .ok()
            .filter(|size| (MBUF_MIN..=MBUF_MAX).contains(&u64::from(*size)))
            .ok_or_else(|| format!("mbuf chunk size must be between {MBUF_MIN} and {MBUF_MAX} bytes")),
    }
}

fn threads(number: u64) -> Result<u32, String> {
    let threads = u32::try_from(number).ok().filter(|threads| u64::from(*threads) <= THREADS_MAX);
    threads.ok_or_else(|| format!("option --threads value {number} is more than {THREADS_MAX}"))
}

/// Decimal digits and nothing else; what does not fit is the largest number.
fn digits(text: &OsStr) -> Option<u64> {
    let text = text.to_str().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))?;
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
