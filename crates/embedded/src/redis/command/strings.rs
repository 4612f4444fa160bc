//! Commands about strings.

use super::super::answer::{Answer, OK};
use super::super::call::{Call, Done, range};
use super::super::fault::Fault;
use super::super::value::{Str, Value};
use super::expiry::{self, Unit};

pub(crate) fn get(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    Ok(Answer::maybe(call.db().read::<Str>(key)?.map(|s| s.0.as_slice())))
}

pub(crate) fn getdel(call: &mut Call<'_>) -> Done {
    let answer = get(call)?;
    let key = call.arg(1);
    call.db().take(key);
    Ok(answer)
}

pub(crate) fn getset(call: &mut Call<'_>) -> Done {
    let answer = get(call)?;
    put(call, call.arg(1), call.arg(2), None);
    Ok(answer)
}

pub(crate) fn getex(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    let expires = match (call.args.len(), call.word(2).as_slice()) {
        (2, _) => None,
        (3, b"persist") => Some(None),
        (4, word) => {
            let unit = Unit::of_option(word).ok_or(Fault::Syntax)?;
            Some(Some(expiry::strict(call, 3, unit)?))
        }
        _ => return Err(Fault::Syntax),
    };
    let answer = get(call)?;
    if let Some(expires) = expires {
        let now = call.now;
        call.db().set_expiry(key, expires);
        call.db().expire(now);
    }
    Ok(answer)
}

/// What SET's options ask for.
#[derive(Debug, Default)]
struct SetOptions {
    nx: bool,
    xx: bool,
    get: bool,
    keep_ttl: bool,
    expires: Option<u64>,
}

fn set_options(call: &Call<'_>) -> Result<SetOptions, Fault> {
    let mut options = SetOptions::default();
    let mut at = 3;
    while at < call.args.len() {
        let word = call.word(at);
        match word.as_slice() {
            b"nx" if !options.xx => options.nx = true,
            b"xx" if !options.nx => options.xx = true,
            b"get" => options.get = true,
            b"keepttl" if options.expires.is_none() => options.keep_ttl = true,
            word => {
                let free = options.expires.is_none() && !options.keep_ttl && at + 1 < call.args.len();
                let unit = Unit::of_option(word).filter(|_| free).ok_or(Fault::Syntax)?;
                at += 1;
                options.expires = Some(expiry::strict(call, at, unit)?);
            }
        }
        at += 1;
    }
    Ok(options)
}

pub(crate) fn set(call: &mut Call<'_>) -> Done {
    let options = set_options(call)?;
    let key = call.arg(1);
    let old = if options.get { Some(get(call)?) } else { None };
    let there = call.db().contains(key);
    if (options.nx && there) || (options.xx && !there) {
        return Ok(old.unwrap_or(Answer::Null));
    }
    let kept = if options.keep_ttl { call.db().expiry(key).flatten() } else { None };
    put(call, key, call.arg(2), options.expires.or(kept));
    Ok(old.unwrap_or(OK))
}

pub(crate) fn setnx(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    let there = call.db().contains(key);
    if !there {
        put(call, key, call.arg(2), None);
    }
    Ok(Answer::bool(!there))
}

pub(crate) fn setex(call: &mut Call<'_>) -> Done {
    let expires = expiry::strict(call, 2, Unit::Seconds)?;
    put(call, call.arg(1), call.arg(3), Some(expires));
    Ok(OK)
}

pub(crate) fn psetex(call: &mut Call<'_>) -> Done {
    let expires = expiry::strict(call, 2, Unit::Millis)?;
    put(call, call.arg(1), call.arg(3), Some(expires));
    Ok(OK)
}

pub(crate) fn append(call: &mut Call<'_>) -> Done {
    let (key, more) = (call.arg(1), call.arg(2));
    let old = call.db().read::<Str>(key)?.map_or(0, |s| s.0.len());
    call.check_length(old.saturating_add(more.len()))?;
    let length = call.db().make(key, |s: &mut Str| {
        s.0.extend_from_slice(more);
        s.0.len()
    })?;
    Ok(Answer::count(length))
}

pub(crate) fn strlen(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    Ok(Answer::count(call.db().read::<Str>(key)?.map_or(0, |s| s.0.len())))
}

pub(crate) fn getrange(call: &mut Call<'_>) -> Done {
    let (key, first, last) = (call.arg(1), call.int(2)?, call.int(3)?);
    let value = call.db().read::<Str>(key)?.map(|s| s.0.as_slice()).unwrap_or_default();
    // Unlike with lists, an end before the first byte is the first byte, unless the start is even further
    // back.
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let before = last < 0 && last.saturating_add(length) < 0;
    let last = if before && !(first < 0 && first > last) { 0 } else { last };
    let (start, count) = range(first, last, value.len());
    Ok(Answer::bulk(value.get(start..start + count).unwrap_or_default()))
}

pub(crate) fn setrange(call: &mut Call<'_>) -> Done {
    let (key, offset, part) = (call.arg(1), call.int(2)?, call.arg(3));
    let offset = usize::try_from(offset).map_err(|_| Fault::Offset)?;
    let old = call.db().read::<Str>(key)?.map_or(0, |s| s.0.len());
    if part.is_empty() {
        return Ok(Answer::count(old));
    }
    let end = offset.saturating_add(part.len());
    call.check_length(end)?;
    let length = call.db().make(key, |s: &mut Str| {
        if s.0.len() < end {
            s.0.resize(end, 0);
        }
        if let Some(place) = s.0.get_mut(offset..end) {
            place.copy_from_slice(part);
        }
        s.0.len()
    })?;
    Ok(Answer::count(length))
}

/// A key of another type counts as none.
pub(crate) fn mget(call: &mut Call<'_>) -> Done {
    let call = &*call;
    let db = call.state.dbs.get(call.client.db);
    call.collect(call.rest(1).iter().map(|key| match db.and_then(|db| db.value(key)) {
        Some(Value::Str(s)) => Ok(Some(s.0.as_slice())),
        _ => Ok(None),
    }))
}

pub(crate) fn mset(call: &mut Call<'_>) -> Done {
    for (key, value) in call.pairs(1)? {
        put(call, key, value, None);
    }
    Ok(OK)
}

pub(crate) fn msetnx(call: &mut Call<'_>) -> Done {
    let mut pairs = call.pairs(1)?;
    let none = pairs.all(|(key, _)| !call.db().contains(key));
    if none {
        mset(call)?;
    }
    Ok(Answer::bool(none))
}

/// Whatever was there is gone, of any type, with its expiry.
fn put(call: &mut Call<'_>, key: &[u8], value: &[u8], expires: Option<u64>) {
    let now = call.now;
    call.db().insert(key, Value::Str(Str(value.to_vec())), expires);
    // EXAT may lie in the past.
    call.db().expire(now);
}
