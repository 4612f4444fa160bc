//! Random: any live server, whatever the key and the weights.

use crate::ring::{self, Seat};

#[derive(Clone, Debug)]
pub(crate) struct Random(Box<[u32]>);

impl Random {
    pub(crate) fn new(seats: &[Seat<'_>]) -> Random {
        Random(ring::live(seats).map(|seat| seat.index).collect())
    }

    #[inline]
    pub(crate) fn lookup(&self, random: impl FnOnce() -> u32) -> Option<u32> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(random() as usize % self.0.len()).copied()
    }
}
