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
