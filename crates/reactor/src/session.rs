//! Leaving the terminal: what a daemon does once it runs on its own.

use std::io;

/// Starts a session without a terminal and clears the file mode mask, as twemproxy's daemon does. Fails when the
/// process leads a group already.
pub fn leave_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}
