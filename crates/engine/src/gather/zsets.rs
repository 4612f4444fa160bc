//! Sorted sets put together: ZUNION, ZINTER, ZDIFF. Scores are added in redis' order, the smallest set first, so that they come
//! out the same to the last bit.

use super::score::{self, Form};
use super::{Together, sets};
use std::collections::HashSet;
use wire::resp::{encode, reply as resp};

/// What a request asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) op: Together,
    /// For each key what its scores are multiplied by.
    pub(super) weights: Vec<f64>,
    pub(super) aggregate: Aggregate,
    pub(super) with_scores: bool,
}

/// What becomes of the scores of a member of several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// Infinity and its opposite add up to 0, and what is no number never replaces one: redis' rules.
    fn add(self, to: &mut f64, score: f64) {
        match self {
            Aggregate::Sum => *to = zero_if_nan(*to + score),
            Aggregate::Min if score < *to => *to = score,
            Aggregate::Max if score > *to => *to = score,
            Aggregate::Min | Aggregate::Max => {}
        }
    }
}

/// Infinity times a weight of 0 is 0 to redis.
fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// So many scores of a set are looked at for how its server writes them.
const LOOKED_AT: usize = 64;

/// Members with their scores.
type Scored<'a> = Vec<(&'a [u8], f64)>;

impl Wanted {
    /// Whether the scores of a key matter: ZDIFF takes those of the first and no others.
    pub(super) fn needs_scores(&self, index: usize) -> bool {
        self.op != Together::Diff || index == 0
    }

    pub(super) fn write(
        &self,
        replies: &[&[u8]],
        resp3: bool,
        form: &mut Option<Form>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let mut result = match self.op {
            Together::Diff => diff(replies, form)?,
            _ => self.combine(replies, form)?,
        };
        // There is no score that is no number.
        result.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal).then(a.0.cmp(b.0)));
        let flat = self.with_scores && !resp3;
        encode::array_header(if flat { result.len() * 2 } else { result.len() }, out);
        let form = form.unwrap_or_default();
        for (member, score) in result {
            if self.with_scores && resp3 {
                encode::array_header(2, out);
            }
            encode::bulk(member, out);
            if self.with_scores {
                score::write(score, form, resp3, out);
            }
        }
        Some(())
    }

    fn combine<'a>(&self, replies: &[&'a [u8]], form: &mut Option<Form>) -> Option<Scored<'a>> {
        let mut sets = Vec::with_capacity(replies.len());
        for (reply, weight) in replies.iter().zip(&self.weights) {
            sets.push((scored(reply, form)?, *weight));
        }
        sets.sort_by_key(|(members, _)| members.len());
        let mut all = Vec::with_capacity(sets.iter().map(|(members, _)| members.len()).sum());
        for (set, (members, weight)) in sets.iter().enumerate() {
            all.extend(members.iter().map(|(member, score)| (*member, set, score * weight)));
        }
        // The scores of a member come together, in the order of the sets.
        all.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let union = self.op == Together::Union;
        let mut result = Vec::new();
        for scores in all.chunk_by(|a, b| a.0 == b.0) {
            let Some(((member, _, first), others)) = scores.split_first() else { continue };
            if !union && scores.len() != sets.len() {
                continue;
            }
            let mut sum = zero_if_nan(*first);
            for (_, _, score) in others {
                self.aggregate.add(&mut sum, if union { zero_if_nan(*score) } else { *score });
            }
            result.push((*member, sum));
        }
        Some(result)
    }
}

fn diff<'a>(replies: &[&'a [u8]], form: &mut Option<Form>) -> Option<Scored<'a>> {
    let (first, others) = replies.split_first()?;
    let mut left = scored(first, form)?;
    let others = sets::members_of_all(others)?;
    let others: HashSet<&[u8]> = others.iter().flatten().copied().collect();
    left.retain(|(member, _)| !others.contains(member));
    Some(left)
}

/// Members and scores as a server has sent them: one after the other, or in RESP3 pair by pair.
fn scored<'a>(reply: &'a [u8], form: &mut Option<Form>) -> Option<Scored<'a>> {
    let (count, mut elements) = resp::elements(reply)?;
    let mut members = Vec::new();
    let nested = elements.rest().first() == Some(&b'*');
    let mut taken = 0;
    while let Some(element) = elements.next() {
        let (member, score) = if nested {
            let (2, mut pair) = resp::elements(element)? else { return None };
            (pair.next()?, pair.next()?)
        } else {
            (element, elements.next()?)
        };
        taken += if nested { 1 } else { 2 };
        let text = match score {
            [b',', text @ .., b'\r', b'\n'] => text,
            _ => resp::bulk(score)?,
        };
        let score = score::parse(text)?;
        if form.is_none() && members.len() < LOOKED_AT {
            *form = Form::of(text, score);
        }
        members.push((resp::bulk(member)?, score));
    }
    (taken == count).then_some(members)
}
