//! Timeouts that change while requests wait: which one held when, and by when an answer must be there.

use crate::rng::Rng;
use crate::setup::PoolPlan;
use crate::world::TICK_US;

/// Drawn timeouts, in microseconds: the shortest is more than anybody takes without a fault.
const SHORTEST_US: u64 = 50_000;
const LONGEST_US: u64 = 400_000;

/// The timeouts of all servers. Its chance is its own, so that a world without changes is the same as ever.
#[derive(Debug)]
pub(crate) struct Times {
    rng: Rng,
    /// Of ticks, in a thousand: a timeout changes.
    often: u32,
    /// By pool: no shorter one is drawn.
    shortest_us: Vec<u64>,
    /// By pool and server: since when which timeout holds. Empty where there is none.
    held: Vec<Vec<Vec<(u64, u64)>>>,
}

/// A server's new timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) pool: usize,
    pub(crate) server: usize,
    pub(crate) micros: u64,
}

impl Times {
    pub(crate) fn new(seed: u64, pools: &[PoolPlan]) -> Times {
        let mut rng = Rng::new(!seed);
        let often = if rng.chance(400) { rng.range(1, 60) as u32 } else { 0 };
        let held =
            |pool: &PoolPlan| vec![pool.timeout_us.map(|us| (0, us)).into_iter().collect(); pool.servers];
        // What waits behind a large reply waits for up to half of the longest, and must not be overdue by a change.
        let streams = |pool: &PoolPlan| pool.stream_from < 1000;
        let shortest = |pool| if streams(pool) { LONGEST_US / 5 * 3 } else { SHORTEST_US };
        let shortest_us = pools.iter().map(shortest).collect();
        Times { rng, often, shortest_us, held: pools.iter().map(held).collect() }
    }

    /// Changes a timeout, sometimes.
    pub(crate) fn change(&mut self, now: u64) -> Option<Change> {
        if !self.rng.chance(self.often) {
            return None;
        }
        let pool = self.rng.below(self.held.len());
        let server = self.rng.below(self.held[pool].len());
        if self.held[pool][server].is_empty() {
            return None;
        }
        let micros = self.rng.range(self.shortest_us[pool], LONGEST_US);
        self.held[pool][server].push((now, micros));
        Some(Change { pool, server, micros })
    }

    /// The longest that a pool's requests may wait, if there is a bound.
    pub(crate) fn longest_us(&self, pool: usize) -> Option<u64> {
        let timeouts = self.held[pool].iter().flatten().map(|(_, us)| *us);
        timeouts.max().map(|us| if self.often > 0 { LONGEST_US } else { us })
    }

    /// When a request to a server that was sent then is overdue: the first time at which it has waited for as long as
    /// holds at that time. A change in the very tick in which it is due comes first.
    pub(crate) fn due(&self, pool: usize, server: usize, sent: u64) -> Option<u64> {
        let held = &self.held[pool][server];
        let ends = held.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
        let dues = held.iter().zip(ends).map(|((from, us), end)| ((sent + us).max(*from), end));
        dues.filter(|(due, end)| due + TICK_US < *end).map(|(due, _)| due).next()
    }
}

#[test]
fn a_request_is_due_when_it_has_waited_for_what_holds_then() {
    let mut times = Times {
        rng: Rng::new(0),
        often: 0,
        shortest_us: Vec::new(),
        held: vec![vec![Vec::new(), vec![(0, 1000)]]],
    };
    let check = |times: &Times, expected: &[(u64, u64)]| {
        for (sent, due) in expected {
            assert_eq!(
                (times.due(0, 0, *sent), times.due(0, 1, *sent)),
                (None, Some(*due)),
                "sent at {sent}"
            );
        }
    };
    check(&times, &[(500, 1500)]);
    times.held[0][1].push((1400, 200));
    check(&times, &[(300, 1300), (500, 1400), (1300, 1500), (1500, 1700)]);
    times.held[0][1].push((1450, 5000));
    check(&times, &[(500, 1400), (1300, 6300), (1500, 6500)]);
    times.held[0][1].push((6310, 7000));
    check(&times, &[(1300, 8300)]);
}
