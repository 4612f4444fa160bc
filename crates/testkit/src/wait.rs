//! Waiting for a condition, never for a time.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long any wait of this crate lasts before it fails: generous, for machines shared by many test runs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long a waiting thread parks between two looks: short, so that waits cost a test next to nothing.
pub const PARK: Duration = Duration::from_millis(2);

/// Returns once `met` says true.
///
/// # Panics
/// After [`DEADLINE`], naming `what`.
#[track_caller]
pub fn until(what: &str, met: impl FnMut() -> bool) {
    if !within(DEADLINE, met) {
        panic!("waited {} s in vain for: {what}", DEADLINE.as_secs());
    }
}

/// Whether `met` said true before `limit` was over. Looks at least once.
pub fn within(limit: Duration, mut met: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if met() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        thread::park_timeout(PARK);
    }
}

/// As [`until`], for a condition that yields something.
///
/// # Errors
/// `TimedOut` after [`DEADLINE`], naming `what`.
pub fn for_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> io::Result<T> {
    let mut found = None;
    within(DEADLINE, || {
        found = look();
        found.is_some()
    });
    found.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("waited {} s in vain for: {what}", DEADLINE.as_secs()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_until_the_condition_holds() {
        let mut looks = 0;
        until("the third look", || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    fn gives_up_after_the_limit_but_looks_once() {
        let mut looks = 0;
        assert!(!within(Duration::ZERO, || {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
        assert!(within(Duration::ZERO, || true));
    }

    #[test]
    fn hands_over_what_it_found() {
        let mut looks = 0;
        let found = for_some("a number", || {
            looks += 1;
            (looks > 1).then_some(looks)
        });
        assert_eq!(found.ok(), Some(2));
    }
}
