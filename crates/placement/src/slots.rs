//! As many numbered slots per server as it has weight, end to end in name order. Only the ends are kept, so
//! a weight of four billion costs no more than a weight of one.

use crate::ring::Seat;

#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// One past each owner's last slot; ascending.
    ends: Box<[u64]>,
    owners: Box<[Owner]>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Position in the list given to [`Ring::new`](crate::Ring::new).
    pub(crate) index: u32,
    pub(crate) live: bool,
}

impl Slots {
    pub(crate) fn new<'a>(seats: impl Iterator<Item = &'a Seat<'a>> + Clone) -> Slots {
        let ends = seats.clone().scan(0, |end, seat| {
            *end += u64::from(seat.weight); // a sum of 2^32 weights below 2^32 fits
            Some(*end)
        });
        Slots {
            ends: ends.collect(),
            owners: seats.map(|seat| Owner { index: seat.index, live: seat.live }).collect(),
        }
    }

    /// The number of slots: the sum of the weights.
    #[inline]
    pub(crate) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whose slot it is; `None` at [`Slots::total`] and beyond.
    #[inline]
    pub(crate) fn owner(&self, slot: u64) -> Option<Owner> {
        self.owners.get(self.ends.partition_point(|&end| end <= slot)).copied()
    }
}
