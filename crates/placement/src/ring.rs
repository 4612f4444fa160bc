//! The immutable lookup, from servers, weights and liveness.
//!
//! Members are put into twemproxy's name order first, so the order in which a file lists them never
//! matters. Answers are positions in the list as it was given.

use std::cmp::Ordering;

use crate::DistributionKind;
use crate::jump::Jump;
use crate::ketama::Ketama;
use crate::maglev::Maglev;
use crate::modula::Modula;
use crate::random::Random;
use crate::rendezvous::Rendezvous;

/// A server as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name keys are placed by: the explicit one, else `host:port` (`host` alone for port 11211), else
    /// the unix path and a colon. Distinct within a pool.
    pub name: Vec<u8>,
    /// Its share of keys relative to the others'. 0 takes no keys, under any distribution.
    pub weight: u32,
    /// Whether it takes keys now; false while ejected.
    pub live: bool,
}

/// Shorter names first, then byte by byte: the order in which twemproxy keeps servers and pools.
pub fn name_order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A pool's servers laid out for lookup. Never changes; shared freely between threads.
///
/// It holds about 2 KiB per server for ketama, 256 KiB for maglev and some tens of bytes per server for the
/// others, whatever the weights.
#[derive(Clone, Debug)]
pub struct Ring {
    members: usize,
    layout: Layout,
}

#[derive(Clone, Debug)]
enum Layout {
    Ketama(Ketama),
    Modula(Modula),
    Random(Random),
    Maglev(Maglev),
    Jump(Jump),
    Rendezvous(Rendezvous),
}

impl Ring {
    /// Lays out `members`; [`Ring::lookup`] answers with positions in this list.
    ///
    /// A member that is not live takes no keys. Ketama, modula and random are then built as if it were not
    /// there, with the weights of the others over their own sum, as twemproxy does. Maglev, jump and
    /// rendezvous send its keys, and only those, to the others.
    pub fn new(kind: DistributionKind, members: &[Member]) -> Ring {
        let seats = seats(members);
        let layout = match kind {
            DistributionKind::Ketama => Layout::Ketama(Ketama::new(&seats)),
            DistributionKind::Modula => Layout::Modula(Modula::new(&seats)),
            DistributionKind::Random => Layout::Random(Random::new(&seats)),
            DistributionKind::Maglev => Layout::Maglev(Maglev::new(&seats)),
            DistributionKind::Jump => Layout::Jump(Jump::new(&seats)),
            DistributionKind::Rendezvous => Layout::Rendezvous(Rendezvous::new(&seats)),
        };
        Ring { members: members.len(), layout }
    }

    /// The position of the member that a key with this hash belongs to; `None` when no member takes keys.
    /// `random` is called by the random distribution alone, at most once. Does not allocate.
    #[inline]
    pub fn lookup(&self, hash: u32, random: impl FnOnce() -> u32) -> Option<u32> {
        match &self.layout {
            Layout::Ketama(ketama) => ketama.lookup(hash),
            _ => self.lookup_elsewhere(hash, random),
        }
    }

    /// The same in any layout but the usual one.
    fn lookup_elsewhere(&self, hash: u32, random: impl FnOnce() -> u32) -> Option<u32> {
        match &self.layout {
            Layout::Ketama(ketama) => ketama.lookup(hash),
            Layout::Modula(modula) => modula.lookup(hash),
            Layout::Random(any) => any.lookup(random),
            Layout::Maglev(maglev) => maglev.lookup(hash),
            Layout::Jump(jump) => jump.lookup(hash),
            Layout::Rendezvous(rendezvous) => rendezvous.lookup(hash),
        }
    }

    /// How many members it was built from, live or not.
    #[inline]
    pub fn members(&self) -> usize {
        self.members
    }

    /// Ketama's points, ascending: value, and position of the member. Nothing for other distributions. For
    /// comparing with other implementations.
    pub fn points(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        match &self.layout {
            Layout::Ketama(ketama) => Some(ketama.points()),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}

/// A member that has weight, on its way into a layout.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    /// Position in the list given to [`Ring::new`].
    pub(crate) index: u32,
    pub(crate) name: &'a [u8],
    /// Never 0.
    pub(crate) weight: u32,
    pub(crate) live: bool,
}

/// The members with weight, in name order.
fn seats(members: &[Member]) -> Vec<Seat<'_>> {
    let mut seats: Vec<_> = (0..)
        .zip(members)
        .map(|(index, m)| Seat { index, name: &m.name, weight: m.weight, live: m.live })
        .filter(|seat| seat.weight > 0)
        .collect();
    seats.sort_by(|a, b| name_order(a.name, b.name));
    seats
}

pub(crate) fn live<'s>(seats: &'s [Seat<'s>]) -> impl Iterator<Item = &'s Seat<'s>> + Clone {
    seats.iter().filter(|seat| seat.live)
}
