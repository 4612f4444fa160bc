//! What is left in the log when the process crashes: twemproxy's line and a trace of the thread that did it.
//!
//! The handler runs inside a broken process, so it makes nothing but calls that are safe there: open(2), write(2),
//! backtrace(3) (loaded beforehand, because its first call allocates) and raise(3). Then the signal's default action
//! follows: the exit status and the core file are what they would be without us.
//!
//! It runs on the alternate stack that Rust's std gives every thread it starts, for a handler of its own that tells of
//! stack overflows. Ours takes its place, and a stack overflow is traced like any other crash.
//!
//! A frame reads `path/to/cashew(+0x1234)[0x55...]`; `addr2line -Cfie cashew 0x1234` names the function and its line.
#![allow(unsafe_code, reason = "rustix has neither signal handlers nor backtraces: both need libc")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::OpenOptions;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// Has crashes written to the file `path`, made if it is not there, or to stderr; to be called once, early.
///
/// The file is opened by its name when the crash comes, so a log that was moved away and reopened is followed. Where
/// that fails (no descriptor is free), the line goes to the file that had the name now. A file that cannot be opened
/// now leaves stderr.
pub fn trace_to(path: Option<&Path>) {
    if let Some(path) = path
        && let Ok(file) = OpenOptions::new().append(true).create(true).mode(0o644).open(path)
        && let Ok(name) = CString::new(path.as_os_str().as_bytes())
    {
        // Both stay as long as the process: a crash may come at its very end.
        OPENED.store(file.into_raw_fd(), Ordering::Release);
        NAME.store(name.into_raw(), Ordering::Release);
    }
    frames(&mut [ptr::null_mut(); 1]);
    for (signal, _) in SIGNALS {
        install(*signal);
    }
}

/// The signals of a crash, and the first line of each. SIGSEGV's is twemproxy's; it has no other.
const SIGNALS: &[(c_int, &[u8])] = &[
    (libc::SIGSEGV, b"[.......................] signal 11 (SIGSEGV) received, core dumping\n"),
    (libc::SIGBUS, b"[.......................] signal 7 (SIGBUS) received, core dumping\n"),
    (libc::SIGILL, b"[.......................] signal 4 (SIGILL) received, core dumping\n"),
    (libc::SIGABRT, b"[.......................] signal 6 (SIGABRT) received, core dumping\n"),
];

/// Deeper than the program calls. They lie on the alternate stack, of whose 8 KiB the handler needs 5.4 (measured with
/// AVX-512, whose registers alone are 2.6).
const FRAMES: usize = 64;

/// So long the trace may take. The crashed thread may hold a lock that the trace needs, and a proxy that hangs is worse
/// than one that ends.
const TRACE_SECONDS: u32 = 5;

/// The name of the log file; null: stderr.
static NAME: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());
/// The file that had that name first.
static OPENED: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);
/// A thread is writing its trace.
static TRACING: AtomicBool = AtomicBool::new(false);

fn install(signal: c_int) {
    // SAFETY: `sigaction` is plain data of which all zeroes are a valid value; the pointers are to it, and the handler
    // keeps to calls that are safe at any point of the program.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_crash as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK;
        // A second fault inside the handler then ends the process at once.
        for (other, _) in SIGNALS {
            libc::sigaddset(&mut action.sa_mask, *other);
        }
        // Refused only for signals that do not exist.
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

extern "C" fn on_crash(signal: c_int) {
    if TRACING.swap(true, Ordering::AcqRel) {
        // Another thread crashed as well; its trace ends the process.
        loop {
            // SAFETY: waits for a signal, and touches nothing.
            unsafe { libc::pause() };
        }
    }
    default_action(libc::SIGALRM);
    // SAFETY: takes a number and touches nothing of ours.
    unsafe { libc::alarm(TRACE_SECONDS) };
    let log = log_file();
    if let Some((_, line)) = SIGNALS.iter().find(|(known, _)| *known == signal) {
        // SAFETY: the pointer and the length are those of one slice. What cannot be written is lost.
        unsafe { libc::write(log, line.as_ptr().cast(), line.len()) };
    }
    write_trace(log);
    default_action(signal);
    // SAFETY: takes a number. The signal is blocked here, and ends the process when the handler returns, with the
    // registers of the crash in the core file.
    unsafe { libc::raise(signal) };
}

/// The log file under its name of today, or else the one from the start.
fn log_file() -> c_int {
    let name = NAME.load(Ordering::Acquire);
    if !name.is_null() {
        // SAFETY: the name ends with NUL and is never freed.
        let file =
            unsafe { libc::open(name, libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC | libc::O_NONBLOCK) };
        if file >= 0 {
            return file;
        }
    }
    OPENED.load(Ordering::Acquire)
}

fn default_action(signal: c_int) {
    // SAFETY: as in `install`; SIG_DFL is no function to be called.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

fn write_trace(log: c_int) {
    let mut addresses = [ptr::null_mut(); FRAMES];
    let count = frames(&mut addresses);
    write_frames(&addresses[..count], log);
}

/// Fills in the return addresses of the calling thread, innermost first; answers how many.
#[cfg(target_env = "gnu")]
fn frames(addresses: &mut [*mut c_void]) -> usize {
    let room = c_int::try_from(addresses.len()).unwrap_or(c_int::MAX);
    // SAFETY: it writes at most `room` addresses, and there is room for them.
    let count = unsafe { libc::backtrace(addresses.as_mut_ptr(), room) };
    usize::try_from(count).unwrap_or(0).min(addresses.len())
}

#[cfg(target_env = "gnu")]
fn write_frames(addresses: &[*mut c_void], log: c_int) {
    let count = c_int::try_from(addresses.len()).unwrap_or(c_int::MAX);
    // SAFETY: it reads `count` addresses, which are there, and only looks them up.
    unsafe { libc::backtrace_symbols_fd(addresses.as_ptr(), count, log) };
}

/// Only glibc has backtraces; elsewhere the line is all there is.
#[cfg(not(target_env = "gnu"))]
fn frames(_: &mut [*mut c_void]) -> usize {
    0
}

#[cfg(not(target_env = "gnu"))]
fn write_frames(_: &[*mut c_void], _: c_int) {}
