//! Questions to all workers: what only they together know of a pool's clients, and what may concern a client of any of them.
//!
//! ```text
//!   CLIENT LIST ── Output::AskWorkers ──► begin_survey: the own answer
//!                                           └─ mailboxes ─► look_into (each other worker) ─► take_findings: put together
//! ```
//! A question is asked when nobody is in the middle of a request, and its client asks nothing further until it is answered.

use crate::command::Book;
use crate::core::Core;
use crate::id::{ClientId, Id};
use crate::monitor::Batch;
use crate::route::clients::Which;
use crate::session::Halt;
use crate::slab::NONE;
use std::sync::Arc;

/// A question under way.
#[derive(Debug)]
pub struct Survey {
    client: ClientId,
    /// The client's request, or [`NONE`] where nobody waits.
    request: u32,
    question: Arc<Question>,
    /// Workers that have not answered.
    missing: usize,
    findings: Findings,
}

/// A handle to it.
pub type SurveyId = Id<Survey>;

/// What is asked of every worker.
#[derive(Debug)]
pub struct Question {
    /// Index of the pool.
    pub(crate) pool: u32,
    /// The number of the client that asks.
    pub(crate) asker: u64,
    pub(crate) what: What,
}

/// What is wanted.
#[derive(Debug)]
pub(crate) enum What {
    /// The lines of these clients.
    List(Which),
    /// That these are closed. `simply`: the answer is OK, or that there is none.
    Kill { which: Which, simply: bool },
    /// That this one waits no longer, and reads an error or what it would after its time.
    Unblock { number: u64, error: bool },
    /// That the pool's requests, or those that write, wait until then.
    Pause { until_us: u64, halt: Halt },
    /// That they wait no longer.
    Unpause,
    /// That the pool's clients are overheard for a client that monitors.
    Monitor,
    /// That one does no longer. Nobody waits for an answer.
    Unmonitor,
    /// What was overheard. Nobody but the sender waits for an answer.
    Overheard(Arc<Batch>),
    /// What a server says of its commands. Nobody waits for an answer.
    Docs {
        /// In which protocol.
        resp3: bool,
        book: Arc<Book>,
    },
    /// That this library is on all servers. Nobody waits for an answer.
    Library(Arc<[u8]>),
    /// That this library, or any, may no longer be there.
    NoLibrary {
        /// Its name.
        name: Option<Box<[u8]>>,
        /// The request that goes to all servers when they know; or nobody waits for an answer.
        then: Option<Box<[u8]>>,
    },
}

/// What one worker, or several together, have found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many clients.
    pub(crate) count: i64,
    /// Their numbers and lines.
    pub(crate) lines: Vec<(u64, Vec<u8>)>,
    /// Whether the asker is among those to be closed.
    pub(crate) asker: bool,
}

impl Question {
    /// The workers that it is for; nothing: all but the one that asks.
    fn addressees(&self) -> Option<&[usize]> {
        match &self.what {
            What::Overheard(batch) => Some(&batch.to),
            _ => None,
        }
    }

    /// Whether another worker than the one that asks is to be asked.
    pub fn is_for(&self, worker: usize) -> bool {
        self.addressees().is_none_or(|to| to.contains(&worker))
    }
}

impl Findings {
    fn add(&mut self, other: Findings) {
        self.count += other.count;
        self.lines.extend(other.lines);
        self.asker |= other.asker;
    }
}

impl Core {
    /// Asks all workers on behalf of a client.
    pub(crate) fn ask_workers(&mut self, c: u32, bytes: usize, what: What) {
        let request = self.replies.ask(c, bytes);
        let client = &mut self.replies.clients[c];
        client.in_order = true;
        let question = Arc::new(Question { pool: client.pool, asker: client.number, what });
        let client = self.replies.clients.id(c);
        let survey = Survey { client, request, question, missing: usize::MAX, findings: Findings::default() };
        let survey = self.surveys.insert(survey);
        self.replies.outputs.push(crate::Output::AskWorkers(self.surveys.id(survey)));
    }

    /// Tells all workers something that nobody waits for.
    pub(crate) fn tell_workers(&mut self, pool: u32, what: What) {
        let question = Arc::new(Question { pool, asker: 0, what });
        let (client, request, findings) = (Id::new(NONE, 0), NONE, Findings::default());
        let survey = self.surveys.insert(Survey { client, request, question, missing: usize::MAX, findings });
        self.replies.outputs.push(crate::Output::AskWorkers(self.surveys.id(survey)));
    }

    /// The question of [`crate::Output::AskWorkers`], to be given to so many `others`, or those of them whom
    /// [`Question::is_for`] names; this worker's own answer is in.
    pub fn begin_survey(&mut self, id: SurveyId, others: usize) -> Option<Arc<Question>> {
        let survey = self.surveys.live_mut(id)?;
        let question = survey.question.clone();
        survey.missing = question.addressees().map_or(others, <[usize]>::len).saturating_add(1);
        let findings = self.look_into(&question, None);
        self.take_findings(id, findings);
        Some(question)
    }

    /// Answers a question, asked by this worker or by another, whose index is `from`.
    pub fn look_into(&mut self, question: &Question, from: Option<usize>) -> Findings {
        match &question.what {
            What::List(which) => self.list_clients(question, which),
            What::Kill { which, .. } => self.kill_clients(question, which),
            What::Pause { until_us, halt } => {
                self.pause_pool(question.pool, *until_us, *halt);
                Findings::default()
            }
            What::Unpause => {
                self.unpause_pool(question.pool);
                Findings::default()
            }
            What::Monitor => {
                self.begin_monitor(question.pool, from);
                Findings::default()
            }
            What::Unmonitor => {
                self.end_monitor(question.pool, from);
                Findings::default()
            }
            What::Overheard(batch) => {
                // Whoever overheard it has shown it to its own.
                if from.is_some() {
                    self.read_lines(question.pool, &batch.lines, batch.lost);
                }
                Findings::default()
            }
            What::Docs { resp3, book } => {
                if from.is_some() {
                    self.share_docs(question.pool, *resp3, book);
                }
                Findings::default()
            }
            What::Library(code) => {
                self.pools[question.pool as usize].functions.learn(code);
                Findings::default()
            }
            What::NoLibrary { name, .. } => {
                let functions = &mut self.pools[question.pool as usize].functions;
                match name {
                    Some(name) => functions.forget(name),
                    None => functions.clear(),
                }
                Findings::default()
            }
            What::Unblock { number, error } => {
                let unblocked = self.unblock(question.pool, *number, *error);
                Findings { count: unblocked.into(), ..Findings::default() }
            }
        }
    }

    /// A worker has answered; with the last answer the client has its reply.
    pub fn take_findings(&mut self, id: SurveyId, findings: Findings) {
        let Some(survey) = self.surveys.live_mut(id) else { return };
        survey.findings.add(findings);
        survey.missing = survey.missing.saturating_sub(1);
        if survey.missing > 0 {
            return;
        }
        let Some(survey) = self.surveys.remove(id.index() as u32) else { return };
        let Survey { client, request, question, findings, .. } = survey;
        if request == NONE {
            if let What::Overheard(_) = question.what {
                self.lines_taken(question.pool);
            }
            return;
        }
        match self.replies.clients.live(client) {
            Some(c) => self.answer_survey(c, request, &question.what, findings),
            // Its place in the queue was kept for the answer.
            None => {
                if let What::Monitor = question.what {
                    self.monitor_gone(question.pool);
                }
                self.replies.answer(request, |_| {});
            }
        }
    }
}
