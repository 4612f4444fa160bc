//! The system's limits on descriptors and backlogs: raised where that is allowed, and read.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of descriptors this process may open as far as the system allows, and answers the soft and hard
/// limits that hold now (`u64::MAX`: none). The soft limit becomes the hard one; with the privilege to, the hard one is
/// raised as well, to [`NOFILE_ENOUGH`] or fs.nr_open. Limits that are higher stay.
pub fn raise_nofile() -> (u64, u64) {
    let hard = getrlimit(Resource::Nofile).maximum;
    let wanted = NOFILE_ENOUGH.min(read_number("/proc/sys/fs/nr_open").unwrap_or(0));
    if hard.is_some_and(|hard| hard < wanted) {
        _ = set(Some(wanted)); // only the privileged may; the next line does for the others
    }
    let hard = getrlimit(Resource::Nofile).maximum;
    _ = set(hard); // refused only where a sandbox forbids it; what holds is read below
    let now = getrlimit(Resource::Nofile);
    (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX))
}

/// Sets the number of descriptors this process may open. Fails without the privilege to go beyond the hard limit.
pub fn set_nofile(limit: u64) -> std::io::Result<()> {
    Ok(set(Some(limit))?)
}

/// The longest backlog the kernel grants a listener (net.core.somaxconn); `None` if it does not tell.
pub fn somaxconn() -> Option<u32> {
    read_number("/proc/sys/net/core/somaxconn").and_then(|n| u32::try_from(n).ok())
}

/// More than any proxy has connections, and Linux's own default for fs.nr_open.
const NOFILE_ENOUGH: u64 = 1 << 20;

fn set(limit: Option<u64>) -> rustix::io::Result<()> {
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit })
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
