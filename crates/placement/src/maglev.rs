//! Maglev (Eisenbud et al., NSDI 2016): each server prefers the table's slots in an order of its own and
//! servers take turns, as often as their weight allows, at taking the first that is free.
//!
//! With equal weights no two servers differ by more than one slot. Otherwise a server's slots differ by at
//! most one, or one in as many as there are slots per server, from its share; every server has one.
//! Beyond 65,537 servers the last in name order have none.
//!
//! The table's size never depends on the pool: with a size that grew, adding one server could move all keys.
//! Dead servers have their turns too, and their slots are then given to the live, so that no other key moves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::mix::{ATTEMPTS, below, name_bits, spread};
use crate::ring::{self, Seat};

#[derive(Clone, Debug)]
pub(crate) struct Maglev {
    /// The member each slot belongs to; empty when none takes keys.
    table: Box<[u32]>,
}

impl Maglev {
    pub(crate) fn new(seats: &[Seat<'_>]) -> Maglev {
        if ring::live(seats).next().is_none() {
            return Maglev { table: Box::default() };
        }
        Maglev { table: without_dead(&fill(seats)) }
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: u32) -> Option<u32> {
        self.table.get(slot(spread(hash, 0))).copied()
    }
}

fn slot(bits: u64) -> usize {
    below(SIZE, bits) as usize
}

/// Fills the table with all servers, of which there is at least one, live or dead.
fn fill<'s>(seats: &'s [Seat<'s>]) -> Vec<&'s Seat<'s>> {
    let heaviest = seats.iter().map(|seat| u64::from(seat.weight)).max().unwrap_or(1);
    let mut preferences: Vec<_> = seats.iter().map(|seat| Preference::new(seat.name)).collect();
    let mut table = vec![None; SIZE as usize];
    // Who is next: by round, then by name order.
    let mut turns: BinaryHeap<_> = (0..seats.len()).map(|place| Reverse((0, place))).collect();
    for _ in 0..SIZE {
        let Some(mut turn) = turns.peek_mut() else { break };
        let Reverse((round, place)) = &mut *turn;
        let (seat, preference) = (&seats[*place], &mut preferences[*place]);
        while table[preference.next as usize].is_some() {
            preference.advance();
        }
        table[preference.next as usize] = Some(seat);
        preference.taken += 1;
        *round = (preference.taken * heaviest).div_ceil(u64::from(seat.weight));
    }
    table.into_iter().flatten().collect()
}

/// The order in which a server prefers the slots: from a start in steps, which, the size being prime, visit
/// every slot.
struct Preference {
    next: u32,
    /// 1 to the size less 1.
    step: u32,
    /// How many slots the server has so far; no more than the size.
    taken: u64,
}

impl Preference {
    fn new(name: &[u8]) -> Preference {
        Preference {
            next: below(SIZE, name_bits(name, 0)),
            step: 1 + below(SIZE - 1, name_bits(name, 1)),
            taken: 0,
        }
    }

    fn advance(&mut self) {
        self.next += self.step;
        if self.next >= SIZE {
            self.next -= SIZE;
        }
    }
}

/// Gives each slot of a dead server to the owner of another slot, which depends on the slot alone: a further
/// ejection changes nobody else's.
fn without_dead(table: &[&Seat<'_>]) -> Box<[u32]> {
    let live: Vec<_> = table.iter().filter(|seat| seat.live).collect();
    let owner = |(number, seat): (u32, &&Seat<'_>)| {
        if seat.live {
            return seat.index;
        }
        let others = (1..=ATTEMPTS).filter_map(|attempt| table.get(slot(spread(number, attempt))));
        let mut others = others.filter(|other| other.live);
        let last = || live.get(below(live.len() as u32, spread(number, ATTEMPTS + 1)) as usize);
        others.next().or_else(|| last().copied()).map_or(seat.index, |other| other.index)
    };
    (0..).zip(table).map(owner).collect()
}

/// How many slots. A prime, as preferences need; large enough for 100 slots each among 655 servers.
const SIZE: u32 = 65_537;

#[cfg(test)]
mod tests {
    use super::{SIZE, fill};
    use crate::ring::Seat;

    #[test]
    fn equal_servers_differ_by_one_slot() {
        for servers in [1, 2, 3, 7, 100, 655, 3000] {
            let slots = slots_per_server(&vec![1_000_000; servers]);
            let (least, most) = (slots.iter().min(), slots.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{servers} servers: {least:?} to {most:?}");
        }
    }

    #[test]
    fn weights_are_honoured() {
        for servers in [2, 3, 7, 100, 655] {
            let weights: Vec<u32> = (1..=servers).map(|i| (i * i * 7919) % 1000 + 1).collect();
            check_shares(&weights);
        }
        check_shares(&[1, u32::MAX, u32::MAX]);
        check_shares(&[1, 1, 100_000]);
    }

    fn check_shares(weights: &[u32]) {
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        for (&slots, &weight) in slots_per_server(weights).iter().zip(weights) {
            let share = f64::from(weight) / total;
            let off = (f64::from(slots) - share * f64::from(SIZE)).abs();
            assert!(
                slots >= 1 && off <= 1.0 + share * weights.len() as f64,
                "{weight}: {slots} of {weights:?}"
            );
        }
    }

    fn slots_per_server(weights: &[u32]) -> Vec<u32> {
        let names: Vec<_> = (0..weights.len()).map(|i| format!("server{i}")).collect();
        let seats = (0..).zip(&names).zip(weights);
        let seats: Vec<_> = seats
            .map(|((index, name), &weight)| Seat { index, name: name.as_bytes(), weight, live: true })
            .collect();
        let mut slots = vec![0; weights.len()];
        fill(&seats).iter().for_each(|seat| slots[seat.index as usize] += 1);
        slots
    }
}
