//! Commands about lists.

use super::super::answer::{Answer, OK};
use super::super::call::{Call, Done, range};
use super::super::fault::Fault;
use super::super::value::List;

pub(crate) fn lpush(call: &mut Call<'_>) -> Done {
    push(call, List::push_front)
}

pub(crate) fn rpush(call: &mut Call<'_>) -> Done {
    push(call, List::push_back)
}

fn push(call: &mut Call<'_>, one: fn(&mut List, &[u8])) -> Done {
    let (key, items) = (call.arg(1), call.rest(2));
    let length = call.db().make(key, |list: &mut List| {
        items.iter().for_each(|item| one(list, item));
        list.items().len()
    })?;
    Ok(Answer::count(length))
}

pub(crate) fn lpop(call: &mut Call<'_>) -> Done {
    pop(call, List::pop_front)
}

pub(crate) fn rpop(call: &mut Call<'_>) -> Done {
    pop(call, List::pop_back)
}

/// Without a count one element or null, with one an array, null only when there is no list.
fn pop(call: &mut Call<'_>, one: fn(&mut List) -> Option<Vec<u8>>) -> Done {
    let key = call.arg(1);
    match call.args.len() {
        2 => {
            let item = call.db().edit(key, one)?.flatten();
            Ok(item.map_or(Answer::Null, Answer::Bulk))
        }
        3 => {
            let count = call.int(2).ok().and_then(|n| usize::try_from(n).ok()).ok_or(Fault::NotPositive)?;
            let items = call.db().edit(key, |list: &mut List| {
                let count = count.min(list.items().len());
                (0..count).filter_map(|_| one(list).map(Answer::Bulk)).collect()
            })?;
            Ok(items.map_or(Answer::NullArray, Answer::Array))
        }
        _ => Err(call.arity()),
    }
}

pub(crate) fn llen(call: &mut Call<'_>) -> Done {
    Ok(Answer::count(list(call)?.map_or(0, |list| list.items().len())))
}

pub(crate) fn lindex(call: &mut Call<'_>) -> Done {
    let at = call.int(2)?;
    let items = list(call)?.map(List::items);
    let place = items.map_or((0, 0), |items| range(at, at, items.len()));
    // A place beyond either end is an empty range, not the nearest element.
    let item = items.filter(|_| place.1 == 1).and_then(|items| items.get(place.0));
    Ok(Answer::maybe(item.map(Vec::as_slice)))
}

pub(crate) fn lrange(call: &mut Call<'_>) -> Done {
    let (first, last) = (call.int(2)?, call.int(3)?);
    let Some(list) = list(call)? else { return Ok(Answer::Array(Vec::new())) };
    let (start, count) = range(first, last, list.items().len());
    Ok(Answer::bulks(list.items().iter().skip(start).take(count).map(Vec::as_slice)))
}

/// From the front up to as many as the count says, from the back below 0, all with 0.
pub(crate) fn lrem(call: &mut Call<'_>) -> Done {
    let (key, count, item) = (call.arg(1), call.int(2)?, call.arg(3));
    let mut left = if count == 0 { u64::MAX } else { count.unsigned_abs() };
    let gone = call.db().edit(key, |list: &mut List| {
        list.retain(count < 0, |other| {
            let gone = left > 0 && other == item;
            left -= u64::from(gone);
            !gone
        })
    })?;
    Ok(Answer::count(gone.unwrap_or(0)))
}

pub(crate) fn ltrim(call: &mut Call<'_>) -> Done {
    let (key, first, last) = (call.arg(1), call.int(2)?, call.int(3)?);
    call.db().edit(key, |list: &mut List| {
        let (start, count) = range(first, last, list.items().len());
        let mut at = 0;
        list.retain(false, |_| {
            at += 1;
            at > start && at <= start + count
        })
    })?;
    Ok(OK)
}

/// The list that the command is about.
fn list<'c>(call: &'c mut Call<'_>) -> Result<Option<&'c List>, Fault> {
    let key = call.arg(1);
    call.db().read(key)
}
