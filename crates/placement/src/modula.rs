//! Modula: as many slots per server as it has weight, in name order; the slot is the hash modulo their
//! number.
//!
//! Where the weights' sum exceeds 2^32, more than there are hashes, the modulo would leave the last servers
//! without a key. (twemproxy needs 8 bytes per slot and never gets there.) Hashes are then stretched evenly
//! over all slots.

use crate::ring::{self, Seat};
use crate::slots::Slots;

#[derive(Clone, Debug)]
pub(crate) struct Modula(Slots);

impl Modula {
    pub(crate) fn new(seats: &[Seat<'_>]) -> Modula {
        Modula(Slots::new(ring::live(seats)))
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: u32) -> Option<u32> {
        let total = self.0.total();
        let slot = if total <= HASHES {
            u64::from(hash).checked_rem(total)?
        } else {
            ((u128::from(hash) * u128::from(total)) >> u32::BITS) as u64
        };
        self.0.owner(slot).map(|owner| owner.index)
    }
}

/// How many hashes there are.
const HASHES: u64 = 1 << u32::BITS;
