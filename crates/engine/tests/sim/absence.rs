//! Servers that leave for a while and return in an orderly way, as the control plane has them do: their old data is
//! dealt with before they serve again, and then no client may read what it knows to be over.

use crate::check::SLACK_US;
use crate::faults::Why;
use crate::world::World;
use engine::Input;
use engine::away::RecordedKey;
use engine::error::Cause;
use engine::topology::Standing;
use std::sync::Arc;

/// Where a server is, and what is to be deleted on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absence {
    stage: Stage,
    owed: Vec<RecordedKey>,
    overflowed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It has not left yet. Each leaves once: what others keep of its keys is not looked at again.
    #[default]
    Here,
    Out,
    /// Workers know that it returns.
    Returning,
    /// It is clean, but for deletes that the worker has under way.
    Clean,
    /// It is in; the worker has yet to be asked.
    In,
    /// It is in, and the last deletes are waited for.
    Confirmed,
    /// All is over.
    Back,
}

impl World {
    /// Whether a value that was written and acknowledged may not be seen as it was before.
    pub(crate) fn is_steady(&self, pool: usize) -> bool {
        self.plan.faults.leave > 0 && !self.relapsed && self.plan.pools[pool].absence.1 != "keep"
    }

    /// Requests that wait on connections to a server that is about to return fail.
    pub(crate) fn note_parting(&mut self, pool: usize, server: usize) {
        self.log.add(pool, server, Why::Cause(Cause::TimedOut), (self.now, self.now + SLACK_US));
    }

    /// Servers leave, and take a step on their way back.
    pub(crate) fn leave(&mut self, faulty: bool) {
        for pool in 0..self.plan.pools.len() {
            for server in 0..self.plan.pools[pool].own {
                let often = match self.absences[pool][server].stage {
                    Stage::Here if faulty => self.plan.faults.leave,
                    Stage::Here | Stage::Back => 0,
                    Stage::Out => 30,
                    _ => 300,
                };
                if self.rng.chance(often) {
                    self.step(pool, server);
                }
            }
        }
    }

    fn step(&mut self, pool: usize, server: usize) {
        let stage = self.absences[pool][server].stage;
        let next = match stage {
            Stage::Here => Stage::Out,
            Stage::Out => Stage::Returning,
            Stage::Returning => {
                self.collect(pool, server);
                let absence = &mut self.absences[pool][server];
                let (owed, all) =
                    (std::mem::take(&mut absence.owed), std::mem::take(&mut absence.overflowed));
                let keyspace = &mut self.keyspaces[pool][server];
                if all || self.plan.pools[pool].absence.1 == "flush" {
                    keyspace.clear();
                }
                owed.iter().for_each(|(_, key)| keyspace.forget(key));
                let own = self.plan.pools[pool].db;
                owed.iter().for_each(|(db, key)| self.journal.note_database(key, *db, own));
                self.deliver(pool, server).expect("it fails never");
                Stage::Clean
            }
            Stage::Clean | Stage::Confirmed => match self.collect(pool, server) {
                (_, true) => Stage::Out,
                (true, false) if stage == Stage::Clean => Stage::In,
                (true, false) => Stage::Back,
                (false, false) => stage,
            },
            Stage::In if self.collect(pool, server).1 => Stage::Out,
            Stage::In => Stage::Confirmed,
            Stage::Back => Stage::Back,
        };
        if next == stage {
            return;
        }
        let relapses = next == Stage::Out && matches!(stage, Stage::In | Stage::Confirmed);
        self.relapsed |= relapses;
        if next == Stage::Back {
            self.seen.insert("a server is back".to_string());
        } else if stage != Stage::Here && next == Stage::Out {
            let what = if relapses { "a server goes once more" } else { "a server cannot return yet" };
            self.seen.insert(what.to_string());
        }
        self.absences[pool][server].stage = next;
        self.trace(|| format!("server {server} is {next:?}"));
        if matches!(next, Stage::Out | Stage::Returning | Stage::In) {
            self.tell_standings(pool, server, next);
        }
    }

    /// Takes the worker's record; answers whether all deletes before the last time are through, and whether one failed.
    fn collect(&mut self, pool: usize, server: usize) -> (bool, bool) {
        let record = self.core.collect(pool as u32, server as u32);
        let absence = &mut self.absences[pool][server];
        absence.owed.extend(record.keys);
        absence.overflowed |= record.overflowed;
        (record.settled, record.failed)
    }

    fn tell_standings(&mut self, pool: usize, server: usize, stage: Stage) {
        let now = self.now;
        if let (Stage::In, Some(fault)) = (stage, self.outs[pool][server]) {
            self.log.end(fault, now);
            self.outs[pool][server] = None;
        } else if self.outs[pool][server].is_none() {
            let fault = self.log.add(pool, server, Why::Cause(Cause::Refused), (now, u64::MAX));
            self.outs[pool][server] = Some(fault);
        }
        if stage == Stage::Returning {
            self.note_parting(pool, server);
        }
        let standing = |pool: usize, server: usize| match self.absences[pool].get(server).map(|a| a.stage) {
            Some(Stage::Out) => Standing::Out,
            Some(Stage::Returning | Stage::Clean) => Standing::Returning,
            _ => Standing::In,
        };
        self.topology = Arc::new(self.plan.topology(standing));
        self.core.handle(Input::Topology(self.topology.clone()));
    }
}
