//! When a key expires: the options that say so, in SET, GETEX and EXPIRE and their kin.

use super::super::call::Call;
use super::super::fault::{Fault, shortened};
use super::super::number;

/// A unit and what a number in it counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Seconds since 1970.
    AtSeconds,
    /// Milliseconds since 1970.
    AtMillis,
}

impl Unit {
    /// The option of SET and GETEX, in lower case.
    pub(crate) fn of_option(word: &[u8]) -> Option<Unit> {
        match word {
            b"ex" => Some(Unit::Seconds),
            b"px" => Some(Unit::Millis),
            b"exat" => Some(Unit::AtSeconds),
            b"pxat" => Some(Unit::AtMillis),
            _ => None,
        }
    }

    /// Milliseconds since 1970; may lie in the past or before 1970, and is nothing when beyond 64 bits.
    fn at(self, n: i64, now: u64) -> Option<i64> {
        let now = i64::try_from(now).ok()?;
        match self {
            Unit::Seconds => n.checked_mul(1000)?.checked_add(now),
            Unit::Millis => n.checked_add(now),
            Unit::AtSeconds => n.checked_mul(1000),
            Unit::AtMillis => Some(n),
        }
    }
}

/// The expiry that argument `at` gives in `unit`, for commands that refuse one of 0 or less.
pub(crate) fn strict(call: &Call<'_>, at: usize, unit: Unit) -> Result<u64, Fault> {
    let n = call.int(at)?;
    let expires = if n > 0 { unit.at(n, call.now) } else { None };
    expires.and_then(|at| u64::try_from(at).ok()).ok_or_else(|| Fault::InvalidExpire(call.name()))
}

/// Conditions of EXPIRE and its kin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    /// Reads them from argument `from` on.
    pub(crate) fn read(call: &Call<'_>, from: usize) -> Result<Conditions, Fault> {
        let mut c = Conditions::default();
        for option in call.rest(from) {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => c.nx = true,
                b"xx" => c.xx = true,
                b"gt" => c.gt = true,
                b"lt" => c.lt = true,
                _ => return Err(Fault::ExpireOption(shortened(option, 128))),
            }
        }
        if c.nx && (c.xx || c.gt || c.lt) {
            return Err(Fault::ExpireNx);
        }
        if c.gt && c.lt { Err(Fault::ExpireGtLt) } else { Ok(c) }
    }

    /// Whether an expiry of `new` may take the place of `old`; none at all counts as later than any.
    fn allow(self, old: Option<u64>, new: u64) -> bool {
        let later = old.is_some_and(|old| new > old);
        let earlier = old.is_none_or(|old| new < old);
        (!self.nx || old.is_none())
            && (!self.xx || old.is_some())
            && (!self.gt || later)
            && (!self.lt || earlier)
    }
}

/// EXPIRE and its kin: an expiry in the past removes the key at once. Whether it was done.
pub(crate) fn expire(call: &mut Call<'_>, unit: Unit) -> Result<bool, Fault> {
    let n = number::integer(call.arg(2)).ok_or(Fault::NotInteger)?;
    let conditions = Conditions::read(call, 3)?;
    let at = unit.at(n, call.now).ok_or_else(|| Fault::InvalidExpire(call.name()))?;
    let at = u64::try_from(at).unwrap_or(0);
    let (key, now) = (call.arg(1), call.now);
    let Some(old) = call.db().expiry(key) else { return Ok(false) };
    if !conditions.allow(old, at) {
        return Ok(false);
    }
    if at <= now {
        call.db().take(key);
    } else {
        call.db().set_expiry(key, Some(at));
    }
    Ok(true)
}
