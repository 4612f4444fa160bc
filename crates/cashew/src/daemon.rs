//! Running in the background: the process starts itself again without a terminal, waits until that one serves, and
//! ends.
//!
//! A fork in a program with threads is a trap, and Rust has none that is safe; starting the same binary again
//! has the same effect: another process, a session of its own, the standard streams on /dev/null, the working
//! directory kept. What keeps the second process from serving is told by the first, with status 1.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};

/// Set in the second process, so that it does not do it once more.
const MARK: &str = "CASHEW_DAEMON";

/// The line by which the second process tells the first that it serves.
const SERVING: &str = "cashew: serving in the background";

/// Whether this is the second process.
pub(crate) fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the second process and waits until it serves; an error is what it said when it could not.
pub(crate) fn start_again(args: &[OsString]) -> io::Result<Result<(), String>> {
    let mut child = spawn(args)?;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        // It ends when the second process closes it, serving or not.
        stderr.read_to_string(&mut said)?;
    }
    if said.lines().any(|line| line == SERVING) {
        return Ok(Ok(()));
    }
    let status = child.wait()?;
    let said = said.trim_end();
    Ok(Err(if said.is_empty() {
        format!("cashew: the process in the background ended: {status}")
    } else {
        said.into()
    }))
}

/// Said by the second process, which then closes stderr: from here on the log tells.
pub(crate) fn tell_serving() -> io::Result<()> {
    eprintln!("{SERVING}");
    reactor::silence_stderr()
}

/// The binary by the name it was called by, so that tools find the process under that name.
fn spawn(args: &[OsString]) -> io::Result<Child> {
    let (name, rest) = args.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let start = |program: &OsString| {
        let mut command = Command::new(program);
        command.args(rest).env(MARK, "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn()
    };
    start(name).or_else(|_| start(&std::env::current_exe()?.into_os_string()))
}
