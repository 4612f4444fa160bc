//! `cashew ctl`: orders to a running process over its control socket.

use crate::cli::DEFAULT_CONF_FILE;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to call it.
pub(crate) const USAGE: &str = "\
Usage: cashew ctl [-S control socket | -c conf file] ORDER

Orders to a running cashew (its configuration names the socket: cashew: control_socket):
  servers              : all servers with their timeout and state: up, failing, down, ejected, drained,
                         returning (its old data is dealt with, see on_return)
  drain POOL SERVER    : take a server out, for a planned restart
  restore POOL SERVER  : put it back
  limit [NUMBER]       : raise the descriptor limit, and with it the number of clients
";

/// A process that does not answer within this is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sends the order in `args` (what follows `ctl`) and prints the answer.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let mut words = Vec::new();
    let mut socket = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("-S") => socket = Some(PathBuf::from(args.next().context("cashew: -S requires a socket")?)),
            Some("-c") => {
                socket = Some(socket_of(Path::new(args.next().context("cashew: -c requires a file name")?))?);
            }
            Some("-h" | "--help") => {
                print!("{USAGE}");
                return Ok(());
            }
            Some(word) => words.push(word),
            None => bail!("cashew: an order is plain text"),
        }
    }
    if words.is_empty() {
        bail!("cashew: no order given\n\n{USAGE}");
    }
    let socket = match socket {
        Some(socket) => socket,
        None => socket_of(Path::new(DEFAULT_CONF_FILE))?,
    };
    let answer = ask(&socket, &words.join(" "))
        .with_context(|| format!("cashew: no answer on control socket '{}'", socket.display()))?;
    match answer.strip_prefix("ok: ") {
        Some(text) => print!("{text}"),
        None => bail!("cashew: {}", answer.trim_end().trim_start_matches("error: ")),
    }
    Ok(())
}

/// The control socket that a configuration names.
fn socket_of(file: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cashew: configuration file '{}' cannot be read", file.display()))?;
    let settings = config::load(&text, &config::system_resolver).map_err(|_| {
        anyhow::anyhow!("cashew: configuration file '{0}' is invalid: cashew -t -c {0}", file.display())
    })?;
    settings.process.control_socket.with_context(|| {
        format!("cashew: '{}' names no control socket (section cashew:, key control_socket)", file.display())
    })
}

fn ask(socket: &Path, order: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    writeln!(stream, "{order}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
