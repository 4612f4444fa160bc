//! Commands about sets. Members come out in the order of their bytes.

use std::collections::BTreeSet;

use super::super::answer::Answer;
use super::super::call::{Call, Done};
use super::super::fault::Fault;
use super::super::value::Set;

pub(crate) fn sadd(call: &mut Call<'_>) -> Done {
    let (key, members) = (call.arg(1), call.rest(2));
    let new = call.db().make(key, |set: &mut Set| members.iter().filter(|member| set.add(member)).count())?;
    Ok(Answer::count(new))
}

pub(crate) fn srem(call: &mut Call<'_>) -> Done {
    let (key, members) = (call.arg(1), call.rest(2));
    let gone =
        call.db().edit(key, |set: &mut Set| members.iter().filter(|member| set.remove(member)).count())?;
    Ok(Answer::count(gone.unwrap_or(0)))
}

/// Without a count one member or null, with one a set. Which, is drawn from the first few only: that is enough to be tried with,
/// and takes no longer the larger the set is.
pub(crate) fn spop(call: &mut Call<'_>) -> Done {
    let (key, draw) = (call.arg(1), draw(call));
    let count = match call.args.len() {
        2 => 1,
        3 => call.int(2).ok().and_then(|n| usize::try_from(n).ok()).ok_or(Fault::NotPositive)?,
        _ => return Err(Fault::Syntax),
    };
    let mut popped = call.db().edit(key, |set: &mut Set| {
        let count = count.min(set.members().len());
        (0..count).filter_map(|_| pop(set, draw)).map(Answer::Bulk).collect::<Vec<Answer>>()
    })?;
    if call.args.len() == 2 {
        return Ok(popped.as_mut().and_then(Vec::pop).unwrap_or(Answer::Null));
    }
    Ok(Answer::Set(popped.unwrap_or_default()))
}

fn pop(set: &mut Set, draw: usize) -> Option<Vec<u8>> {
    let first = set.members().len().min(DRAWN_FROM);
    let member = set.members().iter().nth(draw.checked_rem(first)?)?.clone();
    set.remove(&member);
    Some(member)
}

/// Without a count one member or null, with one an array; below 0 so many in all, some perhaps twice.
pub(crate) fn srandmember(call: &mut Call<'_>) -> Done {
    let (key, draw) = (call.arg(1), draw(call));
    let count = match call.args.len() {
        2 => None,
        3 => Some(call.int(2)?),
        _ => return Err(Fault::Syntax),
    };
    let reply_max = call.state.options.reply_bytes_max;
    let set = call.db().read::<Set>(key)?;
    let Some(count) = count else {
        let members = set.map(Set::members);
        let place = members.and_then(|members| draw.checked_rem(members.len()));
        return Ok(Answer::maybe(place.and_then(|at| members?.iter().nth(at)).map(Vec::as_slice)));
    };
    let Some(set) = set else { return Ok(Answer::Array(Vec::new())) };
    let (members, wanted) = (set.members(), usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX));
    let wanted = if count < 0 { wanted } else { wanted.min(members.len()) };
    let mut left = reply_max;
    let turned = members.iter().cycle().skip(draw.checked_rem(members.len()).unwrap_or(0));
    let mut drawn = Vec::new();
    for member in turned.take(wanted) {
        left = left.checked_sub(member.len().saturating_add(16)).ok_or(Fault::ReplyTooLong)?;
        drawn.push(Answer::bulk(member));
    }
    Ok(Answer::Array(drawn))
}

/// A number that differs from command to command.
fn draw(call: &Call<'_>) -> usize {
    (call.state.commands.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize
}

/// SPOP takes one of so many members.
const DRAWN_FROM: usize = 64;

pub(crate) fn smembers(call: &mut Call<'_>) -> Done {
    sunion(call)
}

pub(crate) fn sismember(call: &mut Call<'_>) -> Done {
    let (key, member) = (call.arg(1), call.arg(2));
    Ok(Answer::bool(call.db().read::<Set>(key)?.is_some_and(|set| set.members().contains(member))))
}

pub(crate) fn scard(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    Ok(Answer::count(call.db().read::<Set>(key)?.map_or(0, |set| set.members().len())))
}

pub(crate) fn sunion(call: &mut Call<'_>) -> Done {
    let all: BTreeSet<&Vec<u8>> = sets(call)?.into_iter().flatten().flat_map(Set::members).collect();
    Ok(answer(all.into_iter()))
}

/// Nothing when any of the sets is not there.
pub(crate) fn sinter(call: &mut Call<'_>) -> Done {
    let sets: Option<Vec<&Set>> = sets(call)?.into_iter().collect();
    let mut sets = sets.unwrap_or_default();
    // Looking through the smallest is the least work.
    sets.sort_by_key(|set| set.members().len());
    let Some((smallest, others)) = sets.split_first() else { return Ok(Answer::Set(Vec::new())) };
    Ok(answer(
        smallest.members().iter().filter(|member| others.iter().all(|set| set.members().contains(*member))),
    ))
}

fn answer<'m>(members: impl Iterator<Item = &'m Vec<u8>>) -> Answer {
    Answer::Set(members.map(|member| Answer::bulk(member)).collect())
}

/// The sets that the command names, each at its place.
fn sets<'c>(call: &'c mut Call<'_>) -> Result<Vec<Option<&'c Set>>, Fault> {
    let keys = call.rest(1);
    let db = &*call.db();
    keys.iter().map(|key| db.read::<Set>(key)).collect()
}
