//! Ketama: each server has up to 160 points on a circle of 2^32; a key belongs to the first point at or
//! after its hash.
//!
//! How many points a server gets is computed in single precision, rounded after each step as twemproxy's C
//! does on x86-64. That rounding is part of the placement: 25 equal servers get 156 points each, and a
//! server with little weight among heavy ones may get none.
//!
//! twemproxy adds the weights up in 32 bits; where a sum exceeds that, its result is meaningless, and here
//! the true sum is taken.

use std::io::Write;

use crate::hash::md5_digest;
use crate::ring::{self, Seat};

#[derive(Clone, Debug)]
pub(crate) struct Ketama {
    /// The points, ascending, and behind them [`LOOKED_AT`] that no hash is above.
    values: Box<[u32]>,
    /// The member that each point belongs to; behind the last one the first again, whose arc goes round to it.
    owners: Box<[u32]>,
    /// The circle cut into a power of two of equal parts, about one per point: where in `values` each part
    /// begins. It leaves a search of a point or two.
    starts: Box<[u32]>,
    /// How far to shift a hash right to have its part.
    shift: u32,
}

impl Ketama {
    pub(crate) fn new(seats: &[Seat<'_>]) -> Ketama {
        let count = ring::live(seats).count();
        let total = ring::live(seats).map(|seat| u64::from(seat.weight)).sum();
        // Value above, place in `seats` below: sorting these whole leaves equal values in name order, which
        // is the order twemproxy emits them in and its stable sort keeps.
        let mut points = Vec::with_capacity(count.saturating_mul(POINTS_PER_SERVER));
        for (place, seat) in (0u64..).zip(seats).filter(|(_, seat)| seat.live) {
            for digest in 0..digests(seat.weight, total, count) {
                points.extend(quarters(seat.name, digest).map(|value| (u64::from(value) << 32) | place));
            }
        }
        points.sort_unstable();

        let mut values: Vec<u32> = points.iter().map(|point| (point >> 32) as u32).collect();
        let owners = points.iter().filter_map(|point| seats.get(*point as u32 as usize));
        let mut owners: Vec<u32> = owners.map(|seat| seat.index).collect();
        owners.extend(owners.first().copied());
        let bits = values.len().next_power_of_two().ilog2().min(PARTS_BITS_MAX);
        let shift = u32::BITS - bits;
        let mut begin = 0;
        let starts = (0..1u64 << bits).map(|part| {
            while values.get(begin).is_some_and(|&value| u64::from(value) < part << shift) {
                begin += 1;
            }
            begin as u32
        });
        let starts = starts.collect();
        values.extend([u32::MAX; LOOKED_AT]);
        Ketama { values: values.into(), owners: owners.into(), starts, shift }
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: u32) -> Option<u32> {
        let part = (u64::from(hash) >> self.shift) as usize; // by up to 32 bits, hence wide
        let start = *self.starts.get(part)? as usize;
        let next: &[u32; LOOKED_AT] = self.values.get(start..)?.first_chunk()?;
        // All are looked at, though one or two are enough: how many is nothing that a processor could guess.
        let before = next.iter().map(|value| usize::from(*value < hash)).sum();
        let before = if before < LOOKED_AT { before } else { self.crowded(start, hash) };
        self.owners.get(start + before).copied()
    }

    /// How many points from `start` on lie before `hash`, where they are many.
    #[cold]
    fn crowded(&self, start: usize, hash: u32) -> usize {
        self.values.get(start..).map_or(0, |values| values.partition_point(|value| *value < hash))
    }

    pub(crate) fn points(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let count = self.values.len() - LOOKED_AT;
        self.values.iter().copied().zip(self.owners.iter().copied()).take(count)
    }
}

/// How many digests, of four points each, a server gets. Every step is rounded to 32 bits but the last
/// addition, which twemproxy makes in 64.
fn digests(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    let digests = share * POINTS_PER_SERVER as f32 / 4.0 * servers as f32;
    (f64::from(digests) + 1e-10) as f32 as u32
}

/// The four points of a server's digest with that number.
fn quarters(name: &[u8], number: u32) -> [u32; 4] {
    let mut text = [0; TEXT_MAX];
    let mut rest = text.as_mut_slice();
    // Writing to a slice fails only where it is full: this is the cut.
    let _ = rest.write_all(name).and_then(|()| write!(rest, "-{number}"));
    let length = TEXT_MAX - rest.len();
    let digest = md5_digest(&text[..length]);
    let (words, _) = digest.as_chunks::<4>();
    [0, 1, 2, 3].map(|quarter| u32::from_le_bytes(words[quarter]))
}

const POINTS_PER_SERVER: usize = 160;

/// The length at which twemproxy cuts the text `NAME-NUMBER` it takes digests of.
const TEXT_MAX: usize = 272;

/// How many points of a part are looked at at once; few parts have more.
const LOOKED_AT: usize = 4;

/// At most 4 MiB of `starts`; pools of more than 6,553 servers search a little longer.
const PARTS_BITS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::Ketama;
    use crate::ring::Seat;

    #[test]
    fn equal_points_are_the_first_servers_in_name_order() {
        // Beyond 272 bytes names no longer count, so these two have the same points.
        let names = ["n".repeat(300), "n".repeat(301)];
        let seat = |index: u32| Seat { index, name: names[index as usize].as_bytes(), weight: 1, live: true };
        for first in [0, 1] {
            let ketama = Ketama::new(&[seat(first), seat(1 - first)]);
            let (_, owners): (Vec<_>, Vec<_>) = ketama.points().unzip();
            assert_eq!(owners.len(), 320);
            // All digests are alike, so each of the four values is there 40 times for each server.
            for alike in owners.chunks(80) {
                assert!(alike[..40].iter().all(|&owner| owner == first));
                assert!(alike[40..].iter().all(|&owner| owner == 1 - first));
            }
            assert!((0..1000).all(|i| ketama.lookup(i * 4_000_000) == Some(first)));
        }
    }

    #[test]
    fn lookup_agrees_with_a_walk_over_all_points() {
        let names: Vec<_> = (0..12).map(|i| format!("cache{i}")).collect();
        let seats = (0..).zip(&names).map(|(index, name)| Seat {
            index,
            name: name.as_bytes(),
            weight: 1,
            live: true,
        });
        let seats: Vec<_> = seats.collect();
        for servers in [1, 2, 3, 12] {
            let ketama = Ketama::new(&seats[..servers]);
            let around =
                ketama.points().flat_map(|(value, _)| [value.wrapping_sub(1), value, value.wrapping_add(1)]);
            for hash in around.chain([0, 1, u32::MAX]) {
                let at_or_after = ketama.points().find(|&(value, _)| value >= hash);
                let owner = at_or_after.or_else(|| ketama.points().next()).map(|(_, owner)| owner);
                assert_eq!(ketama.lookup(hash), owner, "{hash} over {servers} servers");
            }
        }
    }
}
