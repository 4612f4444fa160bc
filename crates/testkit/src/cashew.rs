//! Cashew itself, or a proxy with the same command line, started with a configuration.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::ports;
use crate::process::Process;
use crate::temp::TempDir;
use crate::wait;

/// A running proxy. It works in a temporary directory that also holds its configuration, `cashew.yml`.
#[derive(Debug)]
pub struct Cashew {
    process: Process,
    stats_port: u16,
}

impl Cashew {
    /// Starts `binary` (in a test of the binary's own crate: `env!("CARGO_BIN_EXE_cashew")`) with a
    /// configuration and more flags, and waits until every `listen` of the configuration accepts.
    ///
    /// # Errors
    /// When there is no such binary, or it ends or does not accept in time; the text then has what it
    /// printed.
    pub fn start(binary: impl AsRef<Path>, config: &str, flags: &[&str]) -> io::Result<Cashew> {
        let dir = TempDir::new("cashew")?;
        dir.file(CONFIG, config)?;
        let given =
            flags.iter().position(|flag| *flag == "-s").and_then(|at| flags.get(at + 1)?.parse().ok());
        let stats_port: u16 = given.unwrap_or_else(ports::free);
        let mut args: Vec<OsString> = vec!["-c".into(), CONFIG.into()];
        if given.is_none() {
            args.extend(["-s".into(), stats_port.to_string().into()]);
        }
        if !flags.contains(&"-a") {
            // twemproxy's default is every address; tests stay on loopback.
            args.extend(["-a".into(), "127.0.0.1".into()]);
        }
        args.extend(flags.iter().map(OsString::from));
        // The child runs in its own directory, so a relative path would be looked up there.
        let binary = std::path::absolute(binary.as_ref())?;
        let mut process = Process::start_in(dir, binary, args, "cargo build -p cashew")?;
        accepts(&mut process, config)?;
        Ok(Cashew { process, stats_port })
    }

    /// The port of 127.0.0.1 on which it gives its statistics.
    pub fn stats_port(&self) -> u16 {
        self.stats_port
    }

    /// Replaces its configuration file; what to do about it is up to a signal.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn rewrite_config(&self, config: &str) -> io::Result<()> {
        // Written beside and renamed, as operators' tools do: the proxy never sees half a file.
        let path = self.process.dir().join(CONFIG);
        let beside = path.with_extension("new");
        std::fs::write(&beside, config)?;
        std::fs::rename(beside, path)
    }
}

impl Deref for Cashew {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Cashew {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Waits until every `listen` of the configuration accepts a connection.
pub(crate) fn accepts(process: &mut Process, config: &str) -> io::Result<()> {
    let dir = process.dir().to_owned();
    for listen in listens(config) {
        let accepted =
            wait::for_some(&format!("the proxy to accept on {listen}"), || match process.exited() {
                Some(status) => Some(Err(io::Error::other(format!("the proxy ended at once ({status})")))),
                None => accepts_on(&listen, &dir).then_some(Ok(())),
            });
        accepted
            .and_then(|done| done)
            .map_err(|e| io::Error::new(e.kind(), format!("{e}\n{}", process.output())))?;
    }
    // Somebody else may have accepted in its place while it failed to bind.
    match process.exited() {
        Some(status) => {
            Err(io::Error::other(format!("the proxy ended at once ({status})\n{}", process.output())))
        }
        None => Ok(()),
    }
}

fn accepts_on(listen: &str, dir: &Path) -> bool {
    match listen.parse::<SocketAddr>() {
        Ok(addr) => TcpStream::connect_timeout(&addr, wait::DEADLINE).is_ok(),
        Err(_) => UnixStream::connect(dir.join(listen)).is_ok(),
    }
}

/// The `listen:` values of a configuration, without a unix socket's permissions.
fn listens(config: &str) -> Vec<String> {
    config
        .lines()
        .filter_map(|line| line.trim().strip_prefix("listen:"))
        .filter_map(|value| value.split_whitespace().next())
        .map(|value| value.trim_matches(['"', '\'']).replace("localhost:", "127.0.0.1:"))
        .collect()
}

const CONFIG: &str = "cashew.yml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_configuration_listens_on() {
        let config = "a:\n  listen: 127.0.0.1:22121\n  redis: true\nb:\n  listen: /tmp/x.sock 0666\n\
                      c:\n  listen: 'localhost:1'\n";
        assert_eq!(listens(config), ["127.0.0.1:22121", "/tmp/x.sock", "127.0.0.1:1"]);
    }

    #[test]
    fn a_missing_binary_is_named() {
        let error = Cashew::start("/no/such/cashew", "", &[]).expect_err("none there");
        assert_eq!(error.to_string(), "/no/such/cashew is not installed: cargo build -p cashew");
    }
}
