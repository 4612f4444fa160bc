//! What the machine is called.

/// The host's name as `uname` tells it, as twemproxy's stats do.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The kernel's name, release and machine, for the log's first line.
pub fn system() -> String {
    let names = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!("{} {} {}", text(names.sysname()), text(names.release()), text(names.machine()))
}
