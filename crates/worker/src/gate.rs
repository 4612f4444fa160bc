//! How many clients there are, and whether one more may come: shared by all workers, touched only when
//! a client comes or goes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Counts and limits of clients over all workers.
#[derive(Debug)]
pub struct Gate {
    workers: Box<[AtomicUsize]>,
    pools: Box<[PoolGate]>,
    total: AtomicU64,
    max: AtomicU64,
}

#[derive(Debug)]
struct PoolGate {
    clients: AtomicU64,
    max: u64,
}

impl Gate {
    /// For so many workers, at most `max` clients in all, and per pool at most `pool_max` (0: no limit of
    /// its own).
    pub fn new(workers: usize, max: u64, pool_max: impl Iterator<Item = u64>) -> Gate {
        let pool = |max| PoolGate { clients: AtomicU64::new(0), max: if max == 0 { u64::MAX } else { max } };
        Gate {
            workers: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            pools: pool_max.map(pool).collect(),
            total: AtomicU64::new(0),
            max: AtomicU64::new(max),
        }
    }

    /// Counts a client in for the worker that has the fewest, or says which limit is reached.
    ///
    /// `here` is preferred among equals: handing a socket over costs a wake-up.
    pub(crate) fn enter(&self, pool: usize, here: usize) -> Result<usize, u64> {
        let max = self.max.load(Relaxed);
        if self.total.fetch_add(1, Relaxed) >= max {
            self.total.fetch_sub(1, Relaxed);
            return Err(max);
        }
        let gate = &self.pools[pool];
        if gate.clients.fetch_add(1, Relaxed) >= gate.max {
            gate.clients.fetch_sub(1, Relaxed);
            self.total.fetch_sub(1, Relaxed);
            return Err(gate.max);
        }
        let mut best = here;
        let mut fewest = self.workers[here].load(Relaxed);
        for (index, clients) in self.workers.iter().enumerate() {
            let clients = clients.load(Relaxed);
            if clients < fewest {
                (best, fewest) = (index, clients);
            }
        }
        self.workers[best].fetch_add(1, Relaxed);
        Ok(best)
    }

    /// Counts a client out.
    pub(crate) fn leave(&self, pool: usize, worker: usize) {
        self.workers[worker].fetch_sub(1, Relaxed);
        self.pools[pool].clients.fetch_sub(1, Relaxed);
        self.total.fetch_sub(1, Relaxed);
    }

    /// The most clients the process takes.
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// Changes it; those already in stay.
    pub fn set_max(&self, max: u64) {
        self.max.store(max, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_to_the_worker_with_the_fewest() {
        let gate = Gate::new(3, 100, [0].into_iter());
        let mut per_worker = [0; 3];
        for _ in 0..30 {
            per_worker[gate.enter(0, 1).expect("there is room")] += 1;
        }
        assert_eq!(per_worker, [10, 10, 10]);
        gate.leave(0, 2);
        assert_eq!(gate.enter(0, 0), Ok(2));
    }

    #[test]
    fn limits_hold_and_open_again() {
        let gate = Gate::new(1, 3, [2, 0].into_iter());
        assert_eq!(gate.enter(0, 0), Ok(0));
        assert_eq!(gate.enter(0, 0), Ok(0));
        assert_eq!(gate.enter(0, 0), Err(2), "the pool's own limit");
        assert_eq!(gate.enter(1, 0), Ok(0));
        assert_eq!(gate.enter(1, 0), Err(3), "the limit of the process");
        gate.leave(0, 0);
        assert_eq!(gate.enter(1, 0), Ok(0));
    }
}
