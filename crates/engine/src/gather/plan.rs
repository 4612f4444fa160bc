//! What a request to be gathered asks for. Mistakes in it read as redis' own, and are found before anything is asked.

use super::score::{self, Form};
use super::zsets::{self, Aggregate};
use super::{Plan, Together, What, lcs};
use crate::command::Command;
use wire::args::ArgView;

const SYNTAX: &[u8] = b"ERR syntax error";
const NOT_FLOAT: &[u8] = b"ERR weight value is not a float";
const NOT_INTEGER: &[u8] = b"ERR value is not an integer or out of range";
const NEGATIVE_LIMIT: &[u8] = b"ERR LIMIT can't be negative";

impl Plan {
    /// Reads a request with so many `keys`, the last of them at `last`. An error is what its client reads; `None`: the command
    /// cannot be gathered.
    pub(crate) fn read(
        command: &Command,
        args: ArgView<'_>,
        keys: usize,
        last: usize,
        limit: usize,
        form: Option<Form>,
    ) -> Option<Result<Plan, &'static [u8]>> {
        let options: Vec<&[u8]> = args.iter().skip(last + 1).collect();
        let what = match command.name {
            "SUNION" => Ok(What::Set(Together::Union)),
            "SINTER" => Ok(What::Set(Together::Inter)),
            "SDIFF" => Ok(What::Set(Together::Diff)),
            "SINTERCARD" => read_limit(&options).map(What::SetCard),
            "ZINTERCARD" => read_limit(&options).map(What::ZsetCard),
            "ZUNION" => read_zset(Together::Union, keys, &options).map(What::Zset),
            "ZINTER" => read_zset(Together::Inter, keys, &options).map(What::Zset),
            "ZDIFF" => read_zset(Together::Diff, keys, &options).map(What::Zset),
            "PFCOUNT" => Ok(What::Count),
            "LCS" => read_lcs(&options).map(What::Lcs),
            _ => return None,
        };
        Some(what.map(|what| Plan { what, limit, gathered: 0, form }))
    }
}

fn read_limit(options: &[&[u8]]) -> Result<u64, &'static [u8]> {
    let mut limit = 0;
    for option in options.chunks(2) {
        let [word, number] = option else { return Err(SYNTAX) };
        if !word.eq_ignore_ascii_case(b"LIMIT") {
            return Err(SYNTAX);
        }
        limit = integer(number).and_then(|number| u64::try_from(number).ok()).ok_or(NEGATIVE_LIMIT)?;
    }
    Ok(limit)
}

fn read_zset(op: Together, keys: usize, options: &[&[u8]]) -> Result<zsets::Wanted, &'static [u8]> {
    let mut wanted =
        zsets::Wanted { op, weights: vec![1.0; keys], aggregate: Aggregate::Sum, with_scores: false };
    let mut rest = options;
    while let Some((word, after)) = rest.split_first() {
        let is = |known: &[u8]| word.eq_ignore_ascii_case(known);
        if is(b"WITHSCORES") {
            wanted.with_scores = true;
            rest = after;
        } else if op == Together::Diff {
            return Err(SYNTAX);
        } else if is(b"WEIGHTS") && after.len() >= keys {
            let (weights, after) = after.split_at(keys);
            let weights: Option<Vec<f64>> = weights.iter().map(|text| score::parse(text)).collect();
            wanted.weights = weights.ok_or(NOT_FLOAT)?;
            rest = after;
        } else if let Some((how, after)) = after.split_first().filter(|_| is(b"AGGREGATE")) {
            wanted.aggregate = match () {
                () if how.eq_ignore_ascii_case(b"SUM") => Aggregate::Sum,
                () if how.eq_ignore_ascii_case(b"MIN") => Aggregate::Min,
                () if how.eq_ignore_ascii_case(b"MAX") => Aggregate::Max,
                () => return Err(SYNTAX),
            };
            rest = after;
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(wanted)
}

fn read_lcs(options: &[&[u8]]) -> Result<lcs::Wanted, &'static [u8]> {
    let mut wanted = lcs::Wanted::default();
    let mut options = options.iter();
    while let Some(word) = options.next() {
        let is = |known: &[u8]| word.eq_ignore_ascii_case(known);
        if is(b"IDX") {
            wanted.ranges = true;
        } else if is(b"LEN") {
            wanted.length = true;
        } else if is(b"WITHMATCHLEN") {
            wanted.with_lengths = true;
        } else if is(b"MINMATCHLEN") {
            let number = options.next().ok_or(SYNTAX)?;
            wanted.least = integer(number).ok_or(NOT_INTEGER)?.max(0).unsigned_abs();
        } else {
            return Err(SYNTAX);
        }
    }
    if wanted.ranges && wanted.length {
        return Err(b"ERR If you want both the length and indexes, please just use IDX.");
    }
    Ok(wanted)
}

/// An integer as redis takes it: in the one form in which it would write it.
fn integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}
