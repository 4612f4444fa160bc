//! Asking the servers of a pool with `unknown_commands: learn` which commands they have, on a connection of the control plane's
//! own: at start, when a server is back, and when a client asks for one that is not known.
//!
//! ```text
//!   due ──► asking ──► settled ── a server is back, an unknown command ──► due
//!    ▲         │
//!    └─ later ─┘ no answer: the next server, more and more seldom
//! ```

use crate::cleaning::{CleanError, Session};
use crate::line;
use crate::plane::Plane;
use config::{Pool, Protocol, UnknownCommands};
use engine::command::learn::Listing;
use stats::PoolMetric;
use std::time::{Duration, Instant};

/// The first and the longest wait after a server that did not say.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Between two questions because of something that a client asked.
const GAP: Duration = Duration::from_secs(10);

/// Between two questions whatever happens.
const LEAST_GAP: Duration = Duration::from_secs(1);

/// How far a pool is with asking.
#[derive(Debug)]
pub(crate) struct Learning {
    state: State,
    /// Servers in a row that did not say.
    failures: u32,
    /// When one was asked last.
    asked: Option<Instant>,
    /// Whether something happened while one was asked.
    again: bool,
    /// Whether none has said yet, or since one did not: the next one that does is news.
    news: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The pool does not want to know.
    Off,
    Due(Instant),
    Asking,
    Settled,
}

/// How asking a server ended.
pub(crate) struct Asked {
    pool: usize,
    server: usize,
    /// The reply, or why there is none.
    reply: Result<Listing, String>,
}

impl Learning {
    pub(crate) fn new(pool: &Pool, now: Instant) -> Learning {
        let wanted = pool.protocol == Protocol::Redis && pool.unknown_commands == UnknownCommands::Learn;
        let state = if wanted { State::Due(now) } else { State::Off };
        Learning { state, failures: 0, asked: None, again: false, news: true }
    }

    /// A server is back: it may be another one.
    pub(crate) fn server_returned(&mut self, now: Instant) {
        self.ask_again(now, LEAST_GAP);
    }

    /// There is a sign that servers know something new.
    pub(crate) fn hint(&mut self, now: Instant) {
        self.ask_again(now, GAP);
    }

    fn ask_again(&mut self, now: Instant, gap: Duration) {
        let at = self.asked.map_or(now, |asked| (asked + gap).max(now));
        match self.state {
            State::Settled => self.state = State::Due(at),
            State::Due(due) => self.state = State::Due(due.min(at)),
            State::Asking => self.again = true,
            State::Off => {}
        }
    }

    /// Whether a server is to be asked now; from then on one is.
    fn begin(&mut self, now: Instant) -> bool {
        let due = matches!(self.state, State::Due(at) if at <= now);
        if due {
            (self.state, self.asked, self.again) = (State::Asking, Some(now), false);
        }
        due
    }

    /// Answers whether this is news whatever it says.
    fn answered(&mut self, now: Instant) -> bool {
        self.failures = 0;
        self.state = if std::mem::take(&mut self.again) { State::Due(now + GAP) } else { State::Settled };
        std::mem::take(&mut self.news)
    }

    /// Answers whether this is news.
    fn failed(&mut self, now: Instant) -> bool {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.news = true;
        self.state = State::Due(now + wait);
        self.failures == 1
    }
}

impl Plane {
    /// Asks a server of each pool for which it is time. Called regularly.
    pub(crate) fn ask_for_commands(&mut self, now: Instant) {
        for pool in 0..self.learning.len() {
            if !self.learning[pool].begin(now) {
                continue;
            }
            let (settings, done) = (self.settings.clone(), self.asked.0.clone());
            let server = self.server_to_ask(pool);
            tokio::task::spawn_local(async move {
                let reply = commands(&settings.pools[pool], server).await.map_err(|error| error.to_string());
                // Nobody listens only when the process is ending.
                _ = done.send(Asked { pool, server, reply });
            });
        }
    }

    /// The first server that takes part, or after failures the next one; any if none does.
    fn server_to_ask(&self, pool: usize) -> usize {
        let own = self.settings.pools[pool].own_servers().len();
        let (health, drained) = (&self.health[pool], &self.drained[pool]);
        let fit = |server: &usize| !health[*server].is_down() && health[*server].is_in() && !drained[*server];
        let fit: Vec<usize> = (0..own).filter(fit).collect();
        let turn = self.learning[pool].failures as usize;
        match fit.len() {
            0 => turn % own.max(1),
            count => fit[turn % count],
        }
    }

    /// A server was asked.
    pub(crate) fn take_commands(&mut self, asked: Asked) {
        let Asked { pool, server, reply } = asked;
        let now = Instant::now();
        let settings = self.settings.clone();
        let (owner, name) = (&settings.pools[pool].name, &settings.pools[pool].servers[server].name);
        let read = |reply: Listing| self.learner.read(&reply).map_err(|error| error.to_string());
        let learnt = match reply.and_then(read) {
            Ok(learnt) => learnt,
            Err(error) => {
                if self.learning[pool].failed(now) {
                    line!(
                        self.log,
                        Warning,
                        "pool '{owner}': server '{name}' does not say which commands it has: {error}; asking on"
                    );
                }
                return;
            }
        };
        let news = self.learning[pool].answered(now);
        let known = self.views.present().pools[pool].learnt.as_ref();
        let same = known.is_some_and(|known| known.is_same(&learnt));
        let (count, passed) = (learnt.len(), learnt.passed_on());
        if !same || news {
            line!(
                self.log,
                Notice,
                "pool '{owner}': server '{name}' has {count} commands that are new, {passed} of them are passed on"
            );
        }
        if same {
            return;
        }
        self.shard.pool(pool, PoolMetric::LearntCommands).set(passed as u64);
        self.views.learn(pool, learnt);
        self.hand_out_view();
    }
}

async fn commands(pool: &Pool, server: usize) -> Result<Listing, CleanError> {
    Session::open(pool, server).await?.commands().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learning(line: &str, now: Instant) -> Learning {
        let text = format!("a:\n  listen: 127.0.0.1:1\n  redis: true\n{line}  servers:\n  - 127.0.0.1:2:1\n");
        let settings = config::load(&text, &|_, _| unreachable!("no names")).expect("a good one");
        Learning::new(&settings.pools[0], now)
    }

    const LEARN: &str = "  unknown_commands: learn\n";

    #[test]
    fn a_pool_that_refuses_asks_nobody() {
        let now = Instant::now();
        let mut learning = learning("", now);
        learning.hint(now);
        learning.server_returned(now);
        assert!(!learning.begin(now + GAP * 10));
    }

    #[test]
    fn it_asks_at_start_and_then_at_signs_but_not_too_often() {
        let now = Instant::now();
        let mut learning = learning(LEARN, now);
        assert!(learning.begin(now) && !learning.begin(now), "one at a time");
        assert!(learning.answered(now), "the first answer is news");
        assert!(!learning.begin(now + GAP * 10), "nothing happened");
        learning.hint(now);
        learning.hint(now + GAP / 2);
        assert!(!learning.begin(now + GAP - Duration::from_millis(1)));
        learning.server_returned(now);
        assert!(learning.begin(now + LEAST_GAP), "a server that is back is asked sooner");
        learning.hint(now + LEAST_GAP);
        assert!(!learning.answered(now + LEAST_GAP), "no news");
        assert!(learning.begin(now + LEAST_GAP + GAP), "what happened meanwhile counts");
        learning.answered(now + GAP * 2);
        learning.hint(now + GAP * 9);
        assert!(learning.begin(now + GAP * 9), "it was long ago");
    }

    #[test]
    fn who_does_not_say_is_told_of_once_and_asked_more_and_more_seldom() {
        let mut now = Instant::now();
        let mut learning = learning(LEARN, now);
        let mut waits = Vec::new();
        for attempt in 0..12 {
            let begin = now;
            while !learning.begin(now) {
                now += Duration::from_millis(100);
            }
            waits.push(now - begin);
            assert_eq!(learning.failed(now), attempt == 0);
        }
        assert!(waits.is_sorted());
        assert_eq!((waits[1], waits[11]), (FIRST_WAIT, LONGEST_WAIT));
        learning.server_returned(now);
        assert!(learning.begin(now + LEAST_GAP), "a server that is back is not made to wait");
        assert!(learning.answered(now), "that it says so is news");
        assert!(learning.begin(now) || learning.failed(now), "and the next failure, too");
    }
}
