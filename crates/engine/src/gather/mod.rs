//! Reads of keys that are on several servers (`cross_server: gather`): what to ask each server, and the answer made of
//! their replies, as one redis would give it.
//!
//! ```text
//!   request ── plan::read ──► Plan ── ask ──► SMEMBERS, ZUNION 1 or GET for each key ── replies ──► Plan::write
//! ```
//! All of it is a pure function of the replies. They come from different servers at slightly different moments, so the answer
//! is no snapshot.

mod hll;
mod lcs;
mod plan;
mod score;
mod sets;
mod zsets;

use crate::command::Command;
use wire::resp::{encode, reply as resp};

pub(crate) use score::Form;

/// The commands that can be gathered from several servers.
const GATHERED: &[&str] =
    &["LCS", "PFCOUNT", "SDIFF", "SINTER", "SINTERCARD", "SUNION", "ZDIFF", "ZINTER", "ZINTERCARD", "ZUNION"];

/// What the client reads when the values take too much room.
const TOO_MUCH: &[u8] =
    b"ERR the values of these keys take more than gather_limit, and they are on several servers";

impl Command {
    /// Whether its keys may be on several servers where the pool says `cross_server: gather`.
    pub fn gathers(&self) -> bool {
        GATHERED.contains(&self.name)
    }
}

/// A request whose keys are on several servers.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What it asks for.
    what: What,
    /// Bytes that the replies may take.
    limit: usize,
    /// Bytes of replies that have come.
    gathered: usize,
    /// How the pool's servers write scores, as far as is known.
    form: Option<Form>,
}

/// What a request asks for.
#[derive(Debug, PartialEq)]
enum What {
    /// The members of sets put together.
    Set(Together),
    /// How many members all sets have, at most so many; 0: no limit.
    SetCard(u64),
    /// The members of sorted sets put together.
    Zset(zsets::Wanted),
    /// How many members all sorted sets have, at most so many; 0: no limit.
    ZsetCard(u64),
    /// How many elements were counted.
    Count,
    /// What two strings have in common.
    Lcs(lcs::Wanted),
}

/// How sets are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    Union,
    Inter,
    Diff,
}

impl Plan {
    /// Notes that a part has `len` bytes so far, of which `counted` were noted before; `false`: it is too much.
    pub(crate) fn note(&mut self, counted: &mut usize, len: usize) -> bool {
        self.gathered = self.gathered.saturating_add(len.saturating_sub(*counted));
        *counted = (*counted).max(len);
        !self.is_over()
    }

    /// Whether more has come than may.
    pub(crate) fn is_over(&self) -> bool {
        self.gathered > self.limit
    }

    /// How servers write scores, going by what they have sent.
    pub(crate) fn form(&self) -> Option<Form> {
        self.form
    }

    /// Appends what a key's server is asked; `index`: the key's place among the request's.
    pub(crate) fn ask(&self, index: usize, key: &[u8], out: &mut Vec<u8>) {
        let scores = match &self.what {
            What::Set(_) | What::SetCard(_) => return encode::request([b"SMEMBERS", key], out),
            What::Count | What::Lcs(_) => return encode::request([b"GET", key], out),
            What::ZsetCard(_) => false,
            What::Zset(wanted) => wanted.needs_scores(index),
        };
        // ZUNION of one key reads both sorted sets and plain ones, whose scores are 1.
        let words: [&[u8]; 4] = [b"ZUNION", b"1", key, b"WITHSCORES"];
        encode::request(words.into_iter().take(if scores { 4 } else { 3 }).collect::<Vec<_>>(), out);
    }

    /// Writes the client's reply. Nothing where a server has failed or sent what it was not asked for.
    pub(crate) fn write(&mut self, replies: &[&[u8]], resp3: bool, out: &mut Vec<u8>) -> Option<()> {
        if self.is_over() {
            encode::error(TOO_MUCH, out);
            return Some(());
        }
        if matches!(self.what, What::Lcs(_)) && replies.iter().any(|r| resp::error_code(r) == b"WRONGTYPE") {
            encode::error(lcs::WRONG_TYPE, out);
            return Some(());
        }
        if replies.iter().any(|reply| matches!(reply.first(), None | Some(b'-' | b'!'))) {
            return None;
        }
        match &self.what {
            What::Set(together) => {
                let members = sets::put_together(*together, &sets::members_of_all(replies)?);
                encode::set_header(members.len(), resp3, out);
                members.into_iter().for_each(|member| encode::bulk(member, out));
            }
            What::SetCard(limit) | What::ZsetCard(limit) => {
                let found = sets::put_together(Together::Inter, &sets::members_of_all(replies)?).len() as u64;
                let count = if *limit > 0 { found.min(*limit) } else { found };
                encode::integer(i64::try_from(count).ok()?, out);
            }
            What::Zset(wanted) => return wanted.write(replies, resp3, &mut self.form, out),
            What::Count => hll::write(replies, out)?,
            What::Lcs(wanted) => return wanted.write(replies, resp3, out),
        }
        Some(())
    }
}

/// The value of a string; a key that is not there has an empty one.
fn string(reply: &[u8]) -> Option<Option<&[u8]>> {
    match reply {
        b"$-1\r\n" | b"_\r\n" => Some(None),
        _ => resp::bulk(reply).map(Some),
    }
}

#[cfg(test)]
mod tests;
