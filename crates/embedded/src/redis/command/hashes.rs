//! Commands about hashes. Fields come out in the order of their bytes.

use super::super::answer::{Answer, OK};
use super::super::call::{Call, Done};
use super::super::fault::Fault;
use super::super::number;
use super::super::value::Hash;

pub(crate) fn hset(call: &mut Call<'_>) -> Done {
    let (key, pairs) = (call.arg(1), call.pairs(2)?);
    let new =
        call.db().make(key, |hash: &mut Hash| pairs.filter(|(f, v)| hash.set(f, v.to_vec())).count())?;
    Ok(Answer::count(new))
}

pub(crate) fn hmset(call: &mut Call<'_>) -> Done {
    hset(call).map(|_| OK)
}

pub(crate) fn hsetnx(call: &mut Call<'_>) -> Done {
    let (key, field, value) = (call.arg(1), call.arg(2), call.arg(3));
    let new = call
        .db()
        .make(key, |hash: &mut Hash| !hash.fields().contains_key(field) && hash.set(field, value.to_vec()))?;
    Ok(Answer::bool(new))
}

pub(crate) fn hget(call: &mut Call<'_>) -> Done {
    let field = call.arg(2);
    Ok(Answer::maybe(hash(call)?.and_then(|hash| hash.fields().get(field)).map(Vec::as_slice)))
}

pub(crate) fn hmget(call: &mut Call<'_>) -> Done {
    let call = &*call;
    let db = call.state.dbs.get(call.client.db);
    let hash = db.map_or(Ok(None), |db| db.read::<Hash>(call.arg(1)))?;
    let value = |field: &Vec<u8>| hash.and_then(|hash| hash.fields().get(field)).map(Vec::as_slice);
    call.collect(call.rest(2).iter().map(|field| Ok(value(field))))
}

pub(crate) fn hgetall(call: &mut Call<'_>) -> Done {
    let pairs = hash(call)?.into_iter().flat_map(Hash::fields);
    Ok(Answer::Map(pairs.map(|(field, value)| (Answer::bulk(field), Answer::bulk(value))).collect()))
}

pub(crate) fn hkeys(call: &mut Call<'_>) -> Done {
    Ok(Answer::bulks(hash(call)?.into_iter().flat_map(|hash| hash.fields().keys().map(Vec::as_slice))))
}

pub(crate) fn hvals(call: &mut Call<'_>) -> Done {
    Ok(Answer::bulks(hash(call)?.into_iter().flat_map(|hash| hash.fields().values().map(Vec::as_slice))))
}

pub(crate) fn hlen(call: &mut Call<'_>) -> Done {
    Ok(Answer::count(hash(call)?.map_or(0, |hash| hash.fields().len())))
}

pub(crate) fn hexists(call: &mut Call<'_>) -> Done {
    let field = call.arg(2);
    Ok(Answer::bool(hash(call)?.is_some_and(|hash| hash.fields().contains_key(field))))
}

pub(crate) fn hdel(call: &mut Call<'_>) -> Done {
    let (key, fields) = (call.arg(1), call.rest(2));
    let gone =
        call.db().edit(key, |hash: &mut Hash| fields.iter().filter(|field| hash.remove(field)).count())?;
    Ok(Answer::count(gone.unwrap_or(0)))
}

pub(crate) fn hincrby(call: &mut Call<'_>) -> Done {
    let (key, field, by) = (call.arg(1), call.arg(2), call.int(3)?);
    let old = match hash(call)?.and_then(|hash| hash.fields().get(field)) {
        Some(value) => number::integer(value).ok_or(Fault::HashNotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Fault::Overflow)?;
    call.db().make(key, |hash: &mut Hash| hash.set(field, new.to_string().into_bytes()))?;
    Ok(Answer::Int(new))
}

/// The hash that the command is about.
fn hash<'c>(call: &'c mut Call<'_>) -> Result<Option<&'c Hash>, Fault> {
    let key = call.arg(1);
    call.db().read(key)
}
