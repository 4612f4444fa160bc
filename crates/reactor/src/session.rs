//! Leaving the terminal: what a daemon does once it runs on its own.

use std::io;

/// Points stderr at /dev/null: whoever read it sees its end.
pub fn silence_stderr() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

/// Starts a session without a terminal and clears the file mode mask, as twemproxy's daemon does. Fails when the
/// process leads a group already.
pub fn leave_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}
