//! Crashes leave their trace in the log, and the process ends as it would without one.
//!
//! A child crashes in earnest: this test binary, started again with the way to crash in its environment.
#![allow(unsafe_code, reason = "reads where nothing is, in a child")]

use std::fs;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

#[test]
fn a_bad_access_is_traced_and_ends_the_process() {
    let log = Log::new("access");
    fs::write(log.path(), "before\n").expect("written");
    let output = crash("access", Some(log.path()));
    assert_eq!(output.status.signal(), Some(Signal::SEGV.as_raw()), "{output:?}");
    let text = log.text();
    assert!(
        text.starts_with("before\n[.......................] signal 11 (SIGSEGV) received, core dumping\n"),
        "{text}"
    );
    assert!(text.contains(&program()), "{text}");
    names_the_function(&text, &output);
}

#[test]
fn a_stack_overflow_is_traced() {
    let log = Log::new("overflow");
    let output = crash("overflow", Some(log.path()));
    assert_eq!(output.status.signal(), Some(Signal::SEGV.as_raw()), "{output:?}");
    assert!(log.text().contains("signal 11 (SIGSEGV) received"), "{}", log.text());
    names_the_function(&log.text(), &output);
}

#[test]
fn an_abort_is_traced_to_stderr_when_there_is_no_file() {
    let output = crash("abort", None);
    assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("] signal 6 (SIGABRT) received, core dumping\n"), "{text}");
    names_the_function(&text, &output);
}

#[test]
fn the_file_with_the_name_gets_the_trace_and_else_the_first_one() {
    let log = Log::new("moved");
    let output = crash("access after a move", Some(log.path()));
    assert_eq!(output.status.signal(), Some(Signal::SEGV.as_raw()), "{output:?}");
    let moved = fs::read_to_string(log.moved()).expect("the file was moved");
    assert!(moved.contains("signal 11 (SIGSEGV)"), "{moved}");

    let output = crash("access after a reopening", Some(log.path()));
    assert_eq!(output.status.signal(), Some(Signal::SEGV.as_raw()), "{output:?}");
    assert!(log.text().contains("signal 11 (SIGSEGV)"), "{}", log.text());
}

/// A signal from outside has no fault to come back to; it must end the process all the same.
#[test]
fn a_signal_that_was_sent_ends_the_process() {
    let log = Log::new("sent");
    let output = crash("sent", Some(log.path()));
    assert_eq!(output.status.signal(), Some(Signal::SEGV.as_raw()), "{output:?}");
    assert!(log.text().contains("signal 11 (SIGSEGV)"), "{}", log.text());
}

/// One of the frames lies in the function whose address the child printed.
fn names_the_function(trace: &str, output: &Output) {
    let printed = String::from_utf8_lossy(&output.stdout);
    let function = printed.lines().find_map(|line| hex(line.split_once("crashes in ")?.1)).expect("printed");
    let mut frames = trace.lines().filter_map(|line| hex(line.rsplit_once('[')?.1.strip_suffix(']')?));
    assert!(
        frames.any(|frame| (function..function + 4096).contains(&frame)),
        "{function:x} is not in\n{trace}"
    );
}

fn hex(text: &str) -> Option<usize> {
    usize::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

fn program() -> String {
    std::env::current_exe().expect("known").file_name().expect("a file").to_string_lossy().into_owned()
}

fn crash(how: &str, log: Option<&Path>) -> Output {
    let mut child = Command::new(std::env::current_exe().expect("known"));
    child.args(["--exact", "child", "--nocapture"]).env("CRASH_HOW", how);
    if let Some(log) = log {
        child.env("CRASH_LOG", log);
    }
    child.output().expect("started")
}

/// The child's side; nothing to do in an ordinary run. A test runs in a thread that std started, as a worker does.
#[test]
fn child() {
    let Ok(how) = std::env::var("CRASH_HOW") else { return };
    let log = std::env::var_os("CRASH_LOG").map(PathBuf::from);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).expect("no core file");
    reactor::crash::trace_to(log.as_deref());
    let function: fn() = match &*how {
        "overflow" => overflow,
        "abort" => abort,
        "sent" => sent,
        _ => bad_access,
    };
    if let (Some(log), true) = (log, how.contains("after")) {
        fs::rename(&log, log.with_extension("moved")).expect("moved");
        if how.ends_with("reopening") {
            fs::write(&log, "").expect("made again");
        }
    }
    println!("\ncrashes in {:p}", function as *const ());
    function();
}

#[inline(never)]
fn bad_access() {
    let nowhere: *const u8 = std::ptr::without_provenance(black_box(16));
    // SAFETY: not safe at all: nothing is mapped there, and the process ends here. That is the test.
    black_box(unsafe { nowhere.read_volatile() });
}

#[inline(never)]
fn overflow() {
    black_box([0u8; 512]);
    let again: fn() = overflow;
    black_box(again)();
    black_box([0u8; 512]);
}

#[inline(never)]
fn abort() {
    black_box(std::process::abort as fn() -> !)();
}

#[inline(never)]
fn sent() {
    let us = rustix::process::getpid();
    rustix::process::kill_process(us, Signal::SEGV).expect("sent");
    // The process has one other thread; wherever the signal is handled, this one waits for the end.
    loop {
        std::thread::park();
    }
}

/// A log file in a directory of its own.
struct Log(PathBuf);

impl Log {
    fn new(name: &str) -> Log {
        let dir = std::env::temp_dir().join(format!("cashew-crash-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("made");
        Log(dir.join("log"))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn moved(&self) -> PathBuf {
        self.0.with_extension("moved")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("the log is there")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(self.0.parent().expect("in a directory"));
    }
}
