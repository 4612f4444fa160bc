//! What servers have done for guests, under the numbers by which guests asked for it. What a guest reads is held against this.

use std::collections::{BTreeMap, BTreeSet};

/// What was done, by the number in the request.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) done: BTreeMap<u32, Done>,
    /// Transactions, by the number of their first request.
    pub(crate) blocks: BTreeMap<u32, Block>,
    /// What was published.
    pub(crate) messages: BTreeMap<u32, Message>,
    /// What must not be done, now or later: it was discarded, or its client was told so.
    pub(crate) never: BTreeSet<u32>,
    /// Clients, by their number, for which somebody said CLIENT UNBLOCK.
    pub(crate) unblocked: BTreeSet<u64>,
    /// Clients for which somebody said CLIENT KILL.
    pub(crate) killed: BTreeSet<u64>,
    /// What was published, in the order in which it was.
    order: Vec<u32>,
    last: u32,
}

#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) at: u64,
    pub(crate) reply: Vec<u8>,
    /// The transaction that it was done in.
    pub(crate) within: Option<u32>,
    /// Whether an element was taken off a list for it.
    pub(crate) took: bool,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) server: usize,
    pub(crate) reply: Vec<u8>,
    pub(crate) outcome: Outcome,
    /// The keys watched on the connection, and how often each had been changed.
    pub(crate) watched: BTreeMap<Vec<u8>, u64>,
    /// Those of them that were changed since.
    pub(crate) dirty: BTreeSet<Vec<u8>>,
    /// The numbers of its requests.
    pub(crate) ids: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ran,
    /// A watched key was changed.
    Dirty,
    /// One of its requests was refused.
    Spoilt,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) channel: Vec<u8>,
    pub(crate) server: usize,
    /// Its place among all that the server was given to publish.
    pub(crate) place: u64,
}

impl Ledger {
    /// A number for a request.
    pub(crate) fn number(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// Notes what was done.
    pub(crate) fn note(&mut self, id: u32, done: Done) -> Result<(), String> {
        if self.never.contains(&id) {
            return Err(format!("carried out though its client was told that it would not be: {id}"));
        }
        match self.done.insert(id, done) {
            None => Ok(()),
            Some(_) => Err(format!("carried out twice: {id}")),
        }
    }

    /// What was published behind so many messages.
    pub(crate) fn latest(&self, behind: usize) -> impl Iterator<Item = &Message> {
        self.order[behind..].iter().filter_map(|id| self.messages.get(id))
    }

    /// How much was published.
    pub(crate) fn published(&self) -> usize {
        self.order.len()
    }

    /// Notes what is published.
    pub(crate) fn publish(&mut self, id: u32, message: Message) {
        self.messages.insert(id, message);
        self.order.push(id);
    }

    /// That must never be done.
    pub(crate) fn rule_out(&mut self, ids: &[u32]) -> Result<(), String> {
        self.never.extend(ids);
        match ids.iter().find(|id| self.done.contains_key(id)) {
            None => Ok(()),
            Some(id) => Err(format!("carried out though its client was told that it would not be: {id}")),
        }
    }
}
