//! Signals as twemproxy's users send them.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// HUP
    ReopenLog,
    /// TTIN
    MoreLog,
    /// TTOU
    LessLog,
    /// TERM or INT, by name
    Stop(&'static str),
    /// USR1 or USR2, by name
    Nothing(&'static str),
}

/// All signals that are heard.
pub(crate) struct Signals {
    hup: Signal,
    ttin: Signal,
    ttou: Signal,
    term: Signal,
    int: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    /// Begins to listen. SIGPIPE is ignored already by Rust's runtime.
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {
            hup: signal(SignalKind::hangup())?,
            ttin: signal(SignalKind::from_raw(TTIN))?,
            ttou: signal(SignalKind::from_raw(TTOU))?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hup.recv() => Asked::ReopenLog,
            _ = self.ttin.recv() => Asked::MoreLog,
            _ = self.ttou.recv() => Asked::LessLog,
            _ = self.term.recv() => Asked::Stop("SIGTERM"),
            _ = self.int.recv() => Asked::Stop("SIGINT"),
            _ = self.usr1.recv() => Asked::Nothing("SIGUSR1"),
            _ = self.usr2.recv() => Asked::Nothing("SIGUSR2"),
        }
    }
}

/// Numbers of Linux; tokio has no names for them.
const TTIN: i32 = 21;
const TTOU: i32 = 22;
