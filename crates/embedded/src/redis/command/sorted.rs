//! Commands about sorted sets.

use super::super::answer::Answer;
use super::super::call::{Call, Done, range};
use super::super::fault::Fault;
use super::super::number;
use super::super::value::Sorted;

/// What ZADD's options ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    changed: bool,
    incr: bool,
}

/// Reads options from argument 2 on; also answers where they end.
fn options(call: &Call<'_>) -> (Options, usize) {
    let mut o = Options::default();
    let mut at = 2;
    loop {
        match call.word(at).as_slice() {
            b"nx" => o.nx = true,
            b"xx" => o.xx = true,
            b"gt" => o.gt = true,
            b"lt" => o.lt = true,
            b"ch" => o.changed = true,
            b"incr" => o.incr = true,
            _ => return (o, at),
        }
        at += 1;
    }
}

pub(crate) fn zadd(call: &mut Call<'_>) -> Done {
    let (options, from) = options(call);
    let pairs = call.pairs(from).map_err(|_| Fault::Syntax)?;
    let pairs: Vec<(&[u8], &[u8])> = pairs.collect();
    if pairs.is_empty() {
        return Err(Fault::Syntax);
    }
    if options.nx && options.xx {
        return Err(Fault::NxAndXx);
    }
    if [options.gt, options.lt, options.nx].iter().filter(|o| **o).count() > 1 {
        return Err(Fault::GtLtNx);
    }
    if options.incr && pairs.len() > 1 {
        return Err(Fault::IncrPairs);
    }
    let scored: Vec<(f64, &[u8])> = pairs
        .into_iter()
        .map(|(score, member)| Ok((number::float(score).ok_or(Fault::NotFloat)?, member)))
        .collect::<Result<_, Fault>>()?;
    add(call, options, &scored)
}

fn add(call: &mut Call<'_>, options: Options, scored: &[(f64, &[u8])]) -> Done {
    let key = call.arg(1);
    call.db().make(key, |sorted: &mut Sorted| {
        let (mut new, mut changed, mut last) = (0, 0, None);
        for (score, member) in scored {
            match put(sorted, options, member, *score)? {
                Put::Refused => last = None,
                Put::Same(score) => last = Some(score),
                Put::Changed(score) => (changed, last) = (changed + 1, Some(score)),
                Put::New(score) => (new, last) = (new + 1, Some(score)),
            }
        }
        Ok(match last {
            Some(score) if options.incr => Answer::Double(score),
            None if options.incr => Answer::Null,
            _ => Answer::Int(new + if options.changed { changed } else { 0 }),
        })
    })?
}

/// What became of one member, with its score now.
enum Put {
    Refused,
    Same(f64),
    Changed(f64),
    New(f64),
}

fn put(sorted: &mut Sorted, options: Options, member: &[u8], score: f64) -> Result<Put, Fault> {
    let Some(old) = sorted.score(member) else {
        if options.xx {
            return Ok(Put::Refused);
        }
        sorted.set(member, score);
        return Ok(Put::New(score));
    };
    if options.nx {
        return Ok(Put::Refused);
    }
    let score = if options.incr { old + score } else { score };
    if score.is_nan() {
        return Err(Fault::ScoreNotNumber);
    }
    if (options.gt && score <= old) || (options.lt && score >= old) {
        return Ok(Put::Refused);
    }
    if score == old {
        return Ok(Put::Same(old));
    }
    sorted.set(member, score);
    Ok(Put::Changed(score))
}

pub(crate) fn zincrby(call: &mut Call<'_>) -> Done {
    let by = number::float(call.arg(2)).ok_or(Fault::NotFloat)?;
    let member = call.arg(3);
    add(call, Options { incr: true, ..Options::default() }, &[(by, member)])
}

pub(crate) fn zrem(call: &mut Call<'_>) -> Done {
    let (key, members) = (call.arg(1), call.rest(2));
    let gone =
        call.db().edit(key, |sorted: &mut Sorted| members.iter().filter(|m| sorted.remove(m)).count())?;
    Ok(Answer::count(gone.unwrap_or(0)))
}

pub(crate) fn zpopmin(call: &mut Call<'_>) -> Done {
    pop(call, |sorted| sorted.ordered().next().map(|(member, score)| (member.to_vec(), score)))
}

pub(crate) fn zpopmax(call: &mut Call<'_>) -> Done {
    pop(call, |sorted| sorted.ordered().next_back().map(|(member, score)| (member.to_vec(), score)))
}

/// The member at one end of a sorted set, and its score.
type End = fn(&Sorted) -> Option<(Vec<u8>, f64)>;

/// Without a count one member and its score, with one so many pairs.
fn pop(call: &mut Call<'_>, end: End) -> Done {
    let key = call.arg(1);
    let count = match call.args.len() {
        2 => 1,
        3 => call.int(2).ok().and_then(|n| usize::try_from(n).ok()).ok_or(Fault::NotPositive)?,
        _ => return Err(Fault::Syntax),
    };
    let popped = call.db().edit(key, |sorted: &mut Sorted| {
        let mut popped = Vec::new();
        while popped.len() < count
            && let Some((member, score)) = end(sorted)
        {
            sorted.remove(&member);
            popped.push((member, score));
        }
        popped
    })?;
    let mut popped = popped.unwrap_or_default();
    if call.args.len() > 2 {
        return Ok(Answer::Scored(popped));
    }
    let one = popped.pop().map(|(member, score)| vec![Answer::Bulk(member), Answer::Double(score)]);
    Ok(Answer::Array(one.unwrap_or_default()))
}

pub(crate) fn zscore(call: &mut Call<'_>) -> Done {
    let member = call.arg(2);
    Ok(sorted(call)?.and_then(|sorted| sorted.score(member)).map_or(Answer::Null, Answer::Double))
}

pub(crate) fn zcard(call: &mut Call<'_>) -> Done {
    Ok(Answer::count(sorted(call)?.map_or(0, Sorted::len)))
}

pub(crate) fn zrank(call: &mut Call<'_>) -> Done {
    let member = call.arg(2);
    let Some(sorted) = sorted(call)? else { return Ok(Answer::Null) };
    Ok(sorted.ordered().position(|(other, _)| other == member).map_or(Answer::Null, Answer::count))
}

/// By index only; ranges of scores or names are refused rather than misread.
pub(crate) fn zrange(call: &mut Call<'_>) -> Done {
    let (mut reverse, mut scores) = (false, false);
    for option in call.rest(4) {
        match option.to_ascii_lowercase().as_slice() {
            b"rev" => reverse = true,
            b"withscores" => scores = true,
            b"byscore" | b"bylex" | b"limit" => {
                return Err(Fault::NotHere("ZRANGE with BYSCORE, BYLEX or LIMIT"));
            }
            _ => return Err(Fault::Syntax),
        }
    }
    let (first, last) = (call.int(2)?, call.int(3)?);
    let Some(sorted) = sorted(call)? else { return Ok(Answer::Array(Vec::new())) };
    let (start, count) = range(first, last, sorted.len());
    let part: Vec<(&[u8], f64)> = match reverse {
        false => sorted.ordered().skip(start).take(count).collect(),
        true => sorted.ordered().rev().skip(start).take(count).collect(),
    };
    Ok(match scores {
        true => Answer::Scored(part.into_iter().map(|(member, score)| (member.to_vec(), score)).collect()),
        false => Answer::bulks(part.into_iter().map(|(member, _)| member)),
    })
}

/// The sorted set that the command is about.
fn sorted<'c>(call: &'c mut Call<'_>) -> Result<Option<&'c Sorted>, Fault> {
    let key = call.arg(1);
    call.db().read(key)
}
