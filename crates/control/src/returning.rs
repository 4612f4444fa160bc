//! A server's way back to its keys, where its old data must not be seen (`on_return: flush` and `invalidate`).
//!
//! ```text
//!            it fails, or is drained          it answers a probe, or is restored
//!   In ────────────────────────────► Out ─────────────────────────────────────────► Returning
//!    ▲                                ▲                                                 │
//!    │                                └──────── it fails, or cannot be cleaned ─────────┤
//!    └───────────────────────────────────────────────────────────────────────────────────┘
//!                      its data is gone, or the keys that were written elsewhere are
//! ```
//! Workers hear that a server is Returning before they are asked what they recorded, so what is written after that
//! they delete on it themselves. Once it is in they are asked again, until all those deletes are answered: if one has
//! failed the server goes out once more, with the keys that are owed.

use crate::cleaning::{CleanError, Session};
use crate::line;
use crate::plane::Plane;
use config::{OnReturn, Pool, Settings};
use engine::away::{Record, RecordedKey};
use engine::limits::{RECORDED_BYTES, RECORDED_KEYS};
use engine::topology::Standing;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use worker::{Answer, Handle, Message};

/// So long the workers' own deletes may take.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// How often they are asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// What the control plane knows of a server's absence.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    phase: Phase,
    /// A task is at work on its return.
    busy: bool,
    /// What is to be deleted on it, from returns that failed.
    owed: Owed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    In,
    Out,
    Returning,
}

/// What is to be deleted.
#[derive(Debug, Default)]
struct Owed {
    keys: BTreeSet<RecordedKey>,
    bytes: usize,
    overflowed: bool,
    /// Databases that are to be emptied.
    emptied: BTreeSet<u32>,
    /// Databases that clients have selected, beside the pool's own.
    used: BTreeSet<u32>,
}

/// What came of a task.
pub(crate) struct Returned {
    pool: usize,
    server: usize,
    step: Step,
    outcome: Result<String, Failed>,
    owed: Owed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The server is cleaned.
    Clean,
    /// It is in, and workers say how their last deletes went.
    Confirm,
}

/// Why a server does not return.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Clean(#[from] CleanError),
    #[error("a key could not be deleted on it")]
    Forget,
    #[error("it takes too long to delete keys")]
    Slow,
    #[error("the process is ending")]
    Ending,
}

impl Plane {
    /// Where health and orders want a server to be.
    fn wanted(&self, pool: usize, server: usize) -> Standing {
        let settings = &self.settings.pools[pool];
        let others_take_over = settings.on_failure.ejects() && !settings.servers[server].standby;
        match (self.drained[pool][server], self.health[pool][server].is_in()) {
            (true, _) if others_take_over => Standing::Out,
            (true, _) => Standing::Drained,
            (false, true) => Standing::In,
            (false, false) => Standing::Out,
        }
    }

    /// Where workers are told that it is.
    pub(crate) fn standing(&self, pool: usize, server: usize) -> Standing {
        match self.absences[pool][server].phase {
            Phase::In => self.wanted(pool, server),
            Phase::Out => Standing::Out,
            Phase::Returning => Standing::Returning,
        }
    }

    /// Its state in a word, for people.
    pub(crate) fn word(&self, pool: usize, server: usize) -> &'static str {
        let away = self.absences[pool][server].phase != Phase::In;
        match self.wanted(pool, server) {
            _ if self.drained[pool][server] => "drained",
            Standing::In if away => "returning",
            _ => self.health[pool][server].word(),
        }
    }

    /// Something about a server has changed: brings the workers' view in line with it.
    pub(crate) fn settle(&mut self, pool: usize, server: usize) {
        let away = self.wanted(pool, server) == Standing::Out;
        let keeps = self.settings.pools[pool].on_return == OnReturn::Keep;
        let absence = &mut self.absences[pool][server];
        absence.phase = match (away, absence.phase) {
            (true, _) => Phase::Out,
            (false, Phase::Out) if keeps => Phase::In,
            // A task that is at work still ends first, and then comes here again.
            (false, Phase::Out) if absence.busy => Phase::Out,
            (false, Phase::Out) => {
                absence.phase = Phase::Returning;
                self.publish();
                return self.begin(pool, server, Step::Clean);
            }
            (false, phase) => phase,
        };
        self.publish();
    }

    /// Sets a task to work on a server's return.
    fn begin(&mut self, pool: usize, server: usize, step: Step) {
        let absence = &mut self.absences[pool][server];
        absence.busy = true;
        let owed = std::mem::take(&mut absence.owed);
        let mut work =
            Work { settings: self.settings.clone(), workers: self.workers.clone(), pool, server, owed };
        let done = self.returns.0.clone();
        tokio::task::spawn_local(async move {
            let outcome = match step {
                Step::Clean => work.clean().await,
                Step::Confirm => work.confirm().await.map(|()| String::new()),
            };
            // Nobody listens only when the process is ending.
            _ = done.send(Returned { pool, server, step, outcome, owed: work.owed });
        });
    }

    /// A task has ended.
    pub(crate) fn take_return(&mut self, returned: Returned) {
        let Returned { pool, server, step, outcome, owed } = returned;
        let settings = self.settings.clone();
        let (owner, name) = (&settings.pools[pool].name, &settings.pools[pool].servers[server].name);
        let absence = &mut self.absences[pool][server];
        absence.busy = false;
        let here = absence.phase == if step == Step::Clean { Phase::Returning } else { Phase::In };
        match outcome {
            Ok(what) if step == Step::Clean => {
                absence.owed.add_all(owed);
                if here {
                    absence.phase = Phase::In;
                    self.publish();
                    line!(self.log, Warning, "pool '{owner}': server '{name}' serves again: {what}");
                    return self.begin(pool, server, Step::Confirm);
                }
            }
            // All that was owed is done; but when it is out once more, what is recorded belongs to its next return.
            Ok(_) if here => {}
            Ok(_) => absence.owed.add_all(owed),
            Err(why) => {
                absence.owed.add_all(owed);
                if here {
                    let retry = settings.pools[pool].server_retry_timeout.0;
                    line!(
                        self.log,
                        Warning,
                        "pool '{owner}': server '{name}' cannot serve again yet, next probe in {retry} ms: {why}"
                    );
                    let (rules, chance) = (self.rules(pool, server), self.chance());
                    self.health[pool][server].put_out(rules, Instant::now(), chance);
                }
            }
        }
        self.settle(pool, server);
    }
}

/// A task's own.
struct Work {
    settings: Rc<Settings>,
    workers: Vec<Handle>,
    pool: usize,
    server: usize,
    owed: Owed,
}

impl Work {
    fn settings(&self) -> &Pool {
        &self.settings.pools[self.pool]
    }

    /// Cleans the server; answers what was done, for the log.
    async fn clean(&mut self) -> Result<String, Failed> {
        // All workers have given up their old connections to it once they answer.
        self.collect().await?;
        let settings = self.settings.clone();
        let pool = &settings.pools[self.pool];
        let mut session = Session::open(pool, self.server).await?;
        let invalidates = self.settings().on_return == OnReturn::Invalidate;
        // What others keep in further databases is none of the pool's.
        let own = std::iter::once(pool.redis_db);
        let all = own.chain(self.owed.used.iter().copied());
        let done = if !invalidates {
            session.flush(all).await?;
            "it was emptied".to_string()
        } else if self.owed.overflowed {
            session.flush(all).await?;
            "it was emptied, more keys were written elsewhere than are remembered".to_string()
        } else {
            if !self.owed.emptied.is_empty() {
                session.flush(self.owed.emptied.iter().copied()).await?;
            }
            session.delete(self.owed.keys.iter()).await?;
            format!("{} keys that were written elsewhere were deleted on it", self.owed.keys.len())
        };
        self.owed = Owed::default();
        if invalidates {
            self.settle().await?;
        }
        Ok(done)
    }

    /// Waits until the workers' last deletes are answered.
    async fn confirm(&mut self) -> Result<(), Failed> {
        if self.settings().on_return == OnReturn::Invalidate {
            self.collect().await.and_then(no_failure)?;
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits until all deletes that workers had sent when they were last asked are answered.
    async fn settle(&mut self) -> Result<(), Failed> {
        let until = Instant::now() + SETTLE_WITHIN;
        loop {
            let records = self.collect().await?;
            let settled = records.iter().all(|record| record.settled);
            no_failure(records)?;
            if settled {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Failed::Slow);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Asks all workers what they recorded since the last time; it is owed from now on.
    async fn collect(&mut self) -> Result<Vec<Told>, Failed> {
        let ask = |worker: &Handle| {
            let (back, record) = oneshot::channel();
            // The task may be gone when the process is ending.
            let answer = Answer(Box::new(move |record| _ = back.send(record)));
            worker.send(Message::Collect { pool: self.pool as u32, server: self.server as u32, answer });
            record
        };
        let answers: Vec<oneshot::Receiver<Record>> = self.workers.iter().map(ask).collect();
        let mut told = Vec::new();
        for answer in answers {
            let record = answer.await.map_err(|_| Failed::Ending)?;
            told.push(Told { settled: record.settled, failed: record.failed });
            self.owed.used.extend(record.used);
            self.owed.empty(record.emptied);
            self.owed.add(record.keys, record.overflowed);
        }
        Ok(told)
    }
}

/// What a worker says beside the keys.
struct Told {
    settled: bool,
    failed: bool,
}

fn no_failure(records: Vec<Told>) -> Result<(), Failed> {
    if records.iter().any(|record| record.failed) { Err(Failed::Forget) } else { Ok(()) }
}

impl Owed {
    fn add_all(&mut self, other: Owed) {
        self.used.extend(other.used);
        self.empty(other.emptied);
        self.add(other.keys, other.overflowed);
    }

    /// These databases are to be emptied. Keys in them that were recorded are deleted as well, for nothing.
    fn empty(&mut self, databases: impl IntoIterator<Item = u32>) {
        self.emptied.extend(databases);
    }

    /// As much as one worker records is kept of all of them.
    fn add(&mut self, keys: impl IntoIterator<Item = RecordedKey>, overflowed: bool) {
        self.overflowed |= overflowed;
        for key in keys {
            if self.overflowed {
                break;
            }
            let bytes = key.1.len();
            self.bytes += if self.keys.insert(key) { bytes } else { 0 };
            self.overflowed = self.keys.len() > RECORDED_KEYS || self.bytes > RECORDED_BYTES;
        }
        if self.overflowed {
            self.keys.clear();
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<usize>) -> impl Iterator<Item = RecordedKey> {
        range.map(|n| (0, n.to_string().into_bytes().into_boxed_slice()))
    }

    #[test]
    fn what_is_owed_is_bounded() {
        let mut owed = Owed::default();
        owed.add(keys(0..RECORDED_KEYS), false);
        assert!(!owed.overflowed);
        let mut more = Owed::default();
        more.add(keys(RECORDED_KEYS..RECORDED_KEYS + 1), false);
        owed.add_all(more);
        assert!(owed.overflowed && owed.keys.is_empty(), "one key too many");
        owed.add(keys(0..10), false);
        assert!(owed.keys.is_empty(), "it stays so");
    }

    #[test]
    fn large_keys_count_by_their_bytes() {
        let mut owed = Owed::default();
        owed.add([(0, vec![b'x'; RECORDED_BYTES].into_boxed_slice())], false);
        assert!(!owed.overflowed);
        owed.add(keys(0..1), false);
        assert!(owed.overflowed);
    }
}
