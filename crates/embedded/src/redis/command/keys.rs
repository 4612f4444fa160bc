//! Commands about keys of any type.

use super::super::answer::{Answer, OK};
use super::super::call::{Call, Done};
use super::super::fault::Fault;
use super::super::{glob, number};
use super::expiry::{self, Unit};

/// DEL and UNLINK.
pub(crate) fn del(call: &mut Call<'_>) -> Done {
    let keys = call.rest(1);
    let db = call.db();
    Ok(Answer::count(keys.iter().filter(|key| db.take(key).is_some()).count()))
}

/// EXISTS and TOUCH: a key that is named twice counts twice.
pub(crate) fn exists(call: &mut Call<'_>) -> Done {
    let keys = call.rest(1);
    let db = call.db();
    Ok(Answer::count(keys.iter().filter(|key| db.contains(key)).count()))
}

pub(crate) fn type_of(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    Ok(Answer::Simple(call.db().value(key).map_or("none", |value| value.type_name())))
}

pub(crate) fn rename(call: &mut Call<'_>) -> Done {
    let (from, to) = (call.arg(1), call.arg(2));
    let (value, expires) = call.db().take(from).ok_or(Fault::NoSuchKey)?;
    call.db().insert(to, value, expires);
    Ok(OK)
}

pub(crate) fn expire(call: &mut Call<'_>) -> Done {
    expiry::expire(call, Unit::Seconds).map(Answer::bool)
}

pub(crate) fn pexpire(call: &mut Call<'_>) -> Done {
    expiry::expire(call, Unit::Millis).map(Answer::bool)
}

pub(crate) fn expireat(call: &mut Call<'_>) -> Done {
    expiry::expire(call, Unit::AtSeconds).map(Answer::bool)
}

pub(crate) fn pexpireat(call: &mut Call<'_>) -> Done {
    expiry::expire(call, Unit::AtMillis).map(Answer::bool)
}

pub(crate) fn ttl(call: &mut Call<'_>) -> Done {
    // Redis rounds to the nearest second.
    Ok(Answer::Int(left(call, |ms| ms.saturating_add(500) / 1000)))
}

pub(crate) fn pttl(call: &mut Call<'_>) -> Done {
    Ok(Answer::Int(left(call, |ms| ms)))
}

/// Time left in a unit; -1 for a key that does not expire, -2 for none.
fn left(call: &mut Call<'_>, unit: impl Fn(u64) -> u64) -> i64 {
    let (key, now) = (call.arg(1), call.now);
    match call.db().expiry(key) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(unit(at.saturating_sub(now))).unwrap_or(i64::MAX),
    }
}

pub(crate) fn persist(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    let expires = matches!(call.db().expiry(key), Some(Some(_)));
    Ok(Answer::bool(expires && call.db().set_expiry(key, None)))
}

pub(crate) fn keys(call: &mut Call<'_>) -> Done {
    let pattern = call.arg(1);
    let found = call.db().from(0).map(|(_, key, _)| key).filter(|key| glob::matches(pattern, key));
    Ok(Answer::bulks(found))
}

/// Walks keys in order of creation; the cursor is where to go on. A key that is there throughout is seen
/// exactly once.
pub(crate) fn scan(call: &mut Call<'_>) -> Done {
    let cursor = std::str::from_utf8(call.arg(1)).ok().and_then(|text| text.parse().ok());
    let cursor: u64 = cursor.ok_or(Fault::InvalidCursor)?;
    let (mut count, mut pattern, mut kind) = (10, None, None);
    for (option, value) in call.pairs(2).map_err(|_| Fault::Syntax)? {
        match option.to_ascii_lowercase().as_slice() {
            b"match" => pattern = Some(value),
            b"type" => kind = Some(value),
            b"count" => match number::integer(value).ok_or(Fault::NotInteger)? {
                n @ 1.. => count = usize::try_from(n).unwrap_or(usize::MAX),
                _ => return Err(Fault::Syntax),
            },
            _ => return Err(Fault::Syntax),
        }
    }
    let mut keys = call.db().from(cursor);
    let mut found = Vec::new();
    for (_, key, value) in keys.by_ref().take(count) {
        let named = pattern.is_none_or(|pattern| glob::matches(pattern, key));
        if named && kind.is_none_or(|kind| value.type_name().as_bytes().eq_ignore_ascii_case(kind)) {
            found.push(key);
        }
    }
    let next = keys.next().map_or(0, |(born, _, _)| born);
    Ok(Answer::Array(vec![Answer::Bulk(next.to_string().into_bytes()), Answer::bulks(found)]))
}
