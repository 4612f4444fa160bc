//! One number, written by one thread and read by any.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A 64-bit number with a single writing thread.
///
/// Changing it is a load and a store, never a locked instruction: a second writer would not be unsound, but would
/// lose counts. It wraps instead of panicking; a gauge that went below zero reads as a negative `i64`.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`; the writing thread only.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` away; the writing thread only.
    #[inline(always)]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Replaces the value; the writing thread only.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value now; from any thread.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
