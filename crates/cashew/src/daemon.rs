//! Running in the background: the process starts itself again without a terminal and ends.
//!
//! A fork in a program with threads is a trap, and Rust has none that is safe; starting the same binary again
//! has the same effect: another process, a session of its own, the standard streams on /dev/null, the working
//! directory kept. Mistakes in the configuration were told before, by the process that the operator started.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Set in the second process, so that it does not do it once more.
const MARK: &str = "CASHEW_DAEMON";

/// Whether this is the second process.
pub(crate) fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the second process. The caller ends.
pub(crate) fn start_again(args: &[OsString]) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env(MARK, "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(())
}
