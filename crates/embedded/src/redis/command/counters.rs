//! Strings used as numbers.

use super::super::answer::Answer;
use super::super::call::{Call, Done};
use super::super::fault::Fault;
use super::super::number;
use super::super::value::Str;

pub(crate) fn incr(call: &mut Call<'_>) -> Done {
    add(call, 1)
}

pub(crate) fn decr(call: &mut Call<'_>) -> Done {
    add(call, -1)
}

pub(crate) fn incrby(call: &mut Call<'_>) -> Done {
    let by = call.int(2)?;
    add(call, by)
}

pub(crate) fn decrby(call: &mut Call<'_>) -> Done {
    let by = call.int(2)?;
    add(call, by.checked_neg().ok_or(Fault::DecrementOverflow)?)
}

fn add(call: &mut Call<'_>, by: i64) -> Done {
    let key = call.arg(1);
    let old = match call.db().read::<Str>(key)? {
        Some(s) => number::integer(&s.0).ok_or(Fault::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Fault::Overflow)?;
    call.db().make(key, |s: &mut Str| s.0 = new.to_string().into_bytes())?;
    Ok(Answer::Int(new))
}

/// With 64-bit floats where redis has longer ones: the result is right to 15 digits.
pub(crate) fn incrbyfloat(call: &mut Call<'_>) -> Done {
    let key = call.arg(1);
    let old = match call.db().read::<Str>(key)? {
        Some(s) => number::float(&s.0).ok_or(Fault::NotFloat)?,
        None => 0.0,
    };
    let by = number::float(call.arg(2)).ok_or(Fault::NotFloat)?;
    let new = old + by;
    if !new.is_finite() {
        return Err(Fault::NotFinite);
    }
    let text = number::plain_text(new).into_bytes();
    call.db().make(key, |s: &mut Str| s.0.clone_from(&text))?;
    Ok(Answer::Bulk(text))
}
