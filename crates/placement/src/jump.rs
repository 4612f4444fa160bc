//! Jump consistent hash (Lamping and Veach, 2014): buckets numbered from 0, and when one is added at the
//! end, keys move to it only.
//!
//! A server has as many buckets as weight, in name order. So a new server whose name sorts last
//! (`cache10` after `cache9`; shorter names come first) takes just its share, from all; one that sorts
//! earlier, or a changed weight, also moves keys between the servers after it. Weights are not reduced
//! (2, 2 is not 1, 1), or adding a server could renumber all.
//!
//! A dead server keeps its buckets, and their keys are placed anew until they fall on a live one.

use crate::mix::{ATTEMPTS, spread};
use crate::ring::{self, Seat};
use crate::slots::Slots;

#[derive(Clone, Debug)]
pub(crate) struct Jump {
    all: Slots,
    live: Slots,
}

impl Jump {
    pub(crate) fn new(seats: &[Seat<'_>]) -> Jump {
        Jump { all: Slots::new(seats.iter()), live: Slots::new(ring::live(seats)) }
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: u32) -> Option<u32> {
        if self.live.total() == 0 {
            return None;
        }
        for attempt in 0..ATTEMPTS {
            let owner = self.all.owner(bucket(spread(hash, attempt), self.all.total()))?;
            if owner.live {
                return Some(owner.index);
            }
        }
        let bucket = bucket(spread(hash, ATTEMPTS), self.live.total());
        self.live.owner(bucket).map(|owner| owner.index)
    }
}

/// The bucket of `key`, below `buckets`, which is at least 1. Additions, multiplications and divisions in
/// double precision give the same on every machine.
fn bucket(mut key: u64, buckets: u64) -> u64 {
    let mut bucket = 0;
    let mut next = 0;
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let stride = (1u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * stride) as u64; // a stride is at least 1, so this grows; it saturates
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn agrees_with_other_implementations() {
        // The cases other ports of the paper's function are tested with.
        for (key, buckets, expected) in
            [(1, 1, 0), (42, 57, 43), (0xdead_10cc, 1, 0), (0xdead_10cc, 666, 361), (256, 1024, 520)]
        {
            assert_eq!(bucket(key, buckets), expected, "{key} over {buckets}");
        }
    }

    #[test]
    fn ends_and_stays_below_any_number_of_buckets() {
        for key in 0..1000 {
            let key = crate::mix::mix(key);
            for buckets in [1, 2, 1 << 32, (1 << 53) + 1, u64::MAX] {
                assert!(bucket(key, buckets) < buckets, "{key} over {buckets}");
            }
        }
    }
}
