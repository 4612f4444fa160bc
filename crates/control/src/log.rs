//! The log: lines go through a bounded queue to a thread of their own, so that a slow disk, a full pipe or
//! a rate-limited journal never holds up anything but the log. What does not fit is dropped and counted.
//!
//! Form and levels are twemproxy's: `[YYYY-MM-DD HH:MM:SS.mmm] text`, local time, levels 0 to 11.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How important a line is: shown when the log's level is at least this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Shown always: start and end.
    Always = 0,
    /// Something is wrong.
    Error = 1,
    /// Something may be wrong.
    Warning = 4,
    /// Worth knowing.
    Notice = 5,
    /// For who looks closer.
    Info = 6,
}

/// The finest level that can be set.
pub const LEVEL_MAX: u8 = 11;

/// So many lines may wait; at some 100 bytes each that is the memory a stuck log costs.
const QUEUE: usize = 4096;

/// So long the end of the process waits for the last lines.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The log of the process.
#[derive(Debug)]
pub struct Log {
    level: AtomicU8,
    path: Option<PathBuf>,
    dropped: AtomicU64,
    queue: SyncSender<Order>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

enum Order {
    Line(String),
    Reopen,
    Flush(SyncSender<()>),
}

impl Log {
    /// A log to `path`, appended to and made if it is not there, or to stderr.
    pub fn open(path: Option<&Path>, level: u8) -> io::Result<Log> {
        let target = match path {
            Some(path) => Target::File(append_to(path)?, path.to_path_buf()),
            None => Target::Stderr,
        };
        let (queue, orders) = sync_channel(QUEUE);
        let writer =
            std::thread::Builder::new().name("log".into()).spawn(move || write_lines(target, &orders))?;
        Ok(Log {
            level: AtomicU8::new(level.min(LEVEL_MAX)),
            path: path.map(Path::to_path_buf),
            dropped: AtomicU64::new(0),
            queue,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Writes a line, unless the level is too low for it or the queue is full.
    pub fn line(&self, level: Level, text: fmt::Arguments<'_>) {
        if level as u8 > self.level.load(Relaxed) {
            return;
        }
        let stamp = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
        let lost = self.dropped.swap(0, Relaxed);
        if lost > 0
            && self.queue.try_send(Order::Line(format!("[{stamp}] {lost} lines were dropped\n"))).is_err()
        {
            self.dropped.fetch_add(lost, Relaxed);
        }
        if self.queue.try_send(Order::Line(format!("[{stamp}] {text}\n"))).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Opens the file again under its name, after it was moved away.
    pub fn reopen(&self) {
        if self.path.is_some() {
            // A full queue means that the log is stuck: the next HUP may find it free.
            _ = self.queue.try_send(Order::Reopen);
        }
    }

    /// One level finer; answers the new one.
    pub fn raise(&self) -> u8 {
        self.set(self.level().saturating_add(1))
    }

    /// One level coarser; answers the new one.
    pub fn lower(&self) -> u8 {
        self.set(self.level().saturating_sub(1))
    }

    fn set(&self, level: u8) -> u8 {
        let level = level.min(LEVEL_MAX);
        self.level.store(level, Relaxed);
        level
    }

    /// The level now.
    pub fn level(&self) -> u8 {
        self.level.load(Relaxed)
    }

    /// Waits, but not for long, until what was written is out.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Order::Flush(done)).is_ok() {
            // A stuck log must not keep the process from ending.
            _ = wait.recv_timeout(FLUSH_WITHIN);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
        // The thread ends with the queue; joining it could wait for a stuck disk.
        drop(self.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Writes a line of the log, formatted only when the level asks for it.
#[macro_export]
macro_rules! line {
    ($log:expr, $level:ident, $($text:tt)*) => {
        $log.line($crate::log::Level::$level, format_args!($($text)*))
    };
}

enum Target {
    File(File, PathBuf),
    Stderr,
}

impl Target {
    fn write(&mut self, text: &str) {
        // A log that cannot be written has nowhere to say so.
        _ = match self {
            Target::File(file, _) => file.write_all(text.as_bytes()),
            Target::Stderr => io::stderr().write_all(text.as_bytes()),
        };
    }

    fn reopen(&mut self) {
        if let Target::File(file, path) = self {
            match append_to(path) {
                Ok(fresh) => *file = fresh,
                Err(error) => {
                    self.write(&format!("log file cannot be opened again, the old one stays: {error}\n"))
                }
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o644).open(path)
}

fn write_lines(mut target: Target, orders: &Receiver<Order>) {
    for order in orders {
        match order {
            Order::Line(text) => target.write(&text),
            Order::Reopen => target.reopen(),
            Order::Flush(done) => _ = done.try_send(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_above_the_level_are_left_out_and_reopening_makes_a_new_file() {
        let folder = std::env::temp_dir().join(format!("cashew-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        let log = Log::open(Some(&path), 4).unwrap();
        line!(log, Warning, "shown");
        line!(log, Notice, "hidden");
        assert_eq!(log.raise(), 5);
        line!(log, Notice, "shown now");
        log.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[26..]).collect();
        assert_eq!(lines, ["shown", "shown now"]);

        std::fs::rename(&path, folder.join("old")).unwrap();
        log.reopen();
        line!(log, Error, "after");
        log.flush();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("after\n"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn levels_stay_in_range() {
        let log = Log::open(None, 200).unwrap();
        assert_eq!(log.raise(), LEVEL_MAX);
        for _ in 0..20 {
            log.lower();
        }
        assert_eq!(log.level(), 0);
    }
}
