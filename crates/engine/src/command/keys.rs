//! Which arguments of a request are keys, for routing: all of them, or an error before anything is sent.
//!
//! The rules come from redis' key specifications; errors read as redis' own. Where redis tells clients something
//! else than what its command does (COMMAND GETKEYS), see `listing.rs`.

use wire::args::ArgView;
use wire::resp::encode;

use super::flags::{Flags, KeyFlags};
use super::{Command, irregular, listing, lookup};

/// Where a command's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nowhere.
    None,
    /// The first argument and no other, of a command that never [`blocks`]: the fast path.
    First,
    /// This argument and no other.
    At(u16),
    /// From `first` to `last`, every `step`; a negative `last` counts from the end, -1 being the last argument.
    Range {
        /// First key.
        first: u16,
        /// Last key.
        last: i16,
        /// Distance between keys.
        step: u16,
    },
    /// As the command's `specs` say.
    Specs,
    /// The same of a command that was learnt from a server, which may describe them in any way there is.
    Told,
    /// SORT and SORT_RO: the first argument, and the last STORE's.
    Sort,
    /// GEORADIUS and its like: the first argument, and the last STORE's or STOREDIST's from this argument on.
    Store(u16),
    /// XREAD and XREADGROUP: the first half of what follows STREAMS.
    Streams,
    /// MIGRATE: the third argument, or those after KEYS.
    Migrate,
}

/// One of redis' descriptions of where keys are: where to begin and how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: Begin,
    /// How to go on.
    pub find: Find,
    /// What happens to these keys.
    pub flags: KeyFlags,
}

/// Where a key specification begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(u16),
    /// After this word, looked for from an argument on; negative counts from the end and looks backwards.
    Keyword(&'static str, i16),
    /// Nobody can say.
    Unknown,
}

/// How a key specification goes on from where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// To `last`, counted from the beginning or, negative, from the end of the request; `limit` 2 takes only
    /// the first half of what is there.
    Range {
        /// Last key.
        last: i16,
        /// Distance between keys.
        step: u16,
        /// The part of the rest that is keys: 0 and 1 for all, 2 for a half.
        limit: u16,
    },
    /// As many as an argument says.
    Keynum {
        /// The argument with the number, from the beginning.
        number: u16,
        /// The first key, from the beginning.
        first: u16,
        /// Distance between keys.
        step: u16,
    },
    /// Nobody can say.
    Unknown,
}

/// Why a request's keys cannot be told. All are the client's fault, and nothing has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The number of keys is no number.
    NotInteger,
    /// The same, as FCALL says it.
    BadNumber,
    /// The number of keys is negative.
    Negative,
    /// There are fewer arguments than keys announced.
    TooMany,
    /// The number of keys must be at least one.
    Zero,
    /// The same, as ZUNION and its like say it.
    AtLeastOne,
    /// What follows is not what the command takes.
    Syntax,
    /// Keys without a value, or the like.
    Arity,
    /// XREAD's streams and ids do not pair up.
    Unbalanced,
    /// A script without keys: no server is better than another.
    NoKeys,
}

/// Puts the indices of all key arguments into `out`, in redis' order, duplicates kept. Empty for a command that
/// has no keys. `args` must have passed [`find`](super::find).
#[inline]
pub fn keys(command: &Command, args: ArgView<'_>, out: &mut Vec<u32>) -> Result<(), KeyError> {
    out.clear();
    match command.keys {
        Keys::First => out.push(1),
        Keys::None => {}
        Keys::At(index) => out.push(u32::from(index)),
        Keys::Range { first, last, step } => return range(first, last, step, args.len(), out),
        Keys::Specs => return specs(command, args, out),
        Keys::Told => return listing::told(command, args, out),
        _ => return irregular::keys(command.keys, args, |index, _| out.push(index as u32)),
    }
    Ok(())
}

/// Whether the request would keep a server's connection waiting: always for BLPOP and its like, with BLOCK for
/// XREAD, XREADGROUP and TS.READ.
#[inline]
pub fn blocks(command: &Command, args: ArgView<'_>) -> bool {
    command.flags.has(Flags::BLOCKING)
        && match command.keys {
            Keys::Streams => irregular::stream_options(args).blocks,
            Keys::At(1) => args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"BLOCK")),
            _ => true,
        }
}

/// Puts into `out` the indices of SORT's patterns that name keys only its data knows: BY with a `*`, GET with
/// anything but `#`. Such a request is right only where all keys of a pattern are on the server of its key:
/// in a pool of one server, or where pattern and key have the same hash tag.
pub fn patterns(command: &Command, args: ArgView<'_>, out: &mut Vec<u32>) {
    out.clear();
    if command.keys == Keys::Sort {
        irregular::sort_patterns(args, |index| out.push(index as u32));
    }
}

/// From `first` to `last`, with whole steps.
fn range(first: u16, last: i16, step: u16, count: usize, out: &mut Vec<u32>) -> Result<(), KeyError> {
    let last =
        if last < 0 { count.checked_sub(usize::from(last.unsigned_abs())) } else { Some(last as usize) };
    let (first, step) = (usize::from(first), usize::from(step.max(1)));
    match last {
        Some(last) if first <= last && last < count && (last + 1 - first) % step == 0 => {
            out.extend((first..=last).step_by(step).map(|index| index as u32));
            Ok(())
        }
        _ => Err(KeyError::Arity),
    }
}

/// By number of keys; other specs with a fixed place come along (ZUNIONSTORE's destination).
fn specs(command: &Command, args: ArgView<'_>, out: &mut Vec<u32>) -> Result<(), KeyError> {
    for spec in command.specs {
        let (Begin::Index(begin), false) = (spec.begin, spec.flags.has(KeyFlags::NOT_KEY)) else { continue };
        match spec.find {
            Find::Range { last: 0, .. } if usize::from(begin) < args.len() => out.push(u32::from(begin)),
            Find::Keynum { number, first, step } => {
                let number = args.get(usize::from(begin) + usize::from(number));
                let first = usize::from(begin) + usize::from(first);
                let step = usize::from(step.max(1));
                let count = numkeys(command, number, args.len().saturating_sub(first) / step)?;
                out.extend((0..count).map(|key| (first + key * step) as u32));
            }
            _ => return Err(KeyError::Syntax),
        }
    }
    if out.is_empty() { Err(KeyError::NoKeys) } else { Ok(()) }
}

/// Checks a number of keys as the command itself would; `room` is for how many there are arguments.
fn numkeys(command: &Command, number: &[u8], room: usize) -> Result<usize, KeyError> {
    let family = Family::of(command);
    let Some(number) = integer(number) else {
        return Err(match family {
            Family::Script | Family::Union => KeyError::NotInteger,
            Family::Function => KeyError::BadNumber,
            Family::Pop | Family::Card => KeyError::Zero,
        });
    };
    match usize::try_from(number) {
        Err(_) | Ok(0) => match family {
            Family::Script | Family::Function if number == 0 => Err(KeyError::NoKeys),
            Family::Script | Family::Function => Err(KeyError::Negative),
            Family::Union => Err(KeyError::AtLeastOne),
            Family::Pop | Family::Card => Err(KeyError::Zero),
        },
        Ok(count) if count > room => match family {
            Family::Union | Family::Pop => Err(KeyError::Syntax),
            _ => Err(KeyError::TooMany),
        },
        Ok(count) => Ok(count),
    }
}

/// Commands with a number of keys, by how redis words their errors.
#[derive(Clone, Copy)]
enum Family {
    Script,
    Function,
    Union,
    Pop,
    Card,
}

impl Family {
    fn of(command: &Command) -> Self {
        match command.name {
            name if name.starts_with("EVAL") => Self::Script,
            name if name.starts_with("FCALL") => Self::Function,
            "LMPOP" | "ZMPOP" | "BLMPOP" | "BZMPOP" => Self::Pop,
            name if name.starts_with('Z') => Self::Union,
            _ => Self::Card,
        }
    }
}

/// A decimal number as redis reads it: no plus, no leading zeros, no spaces.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

impl KeyError {
    /// Appends the whole error reply, in the words of redis 7 where it has some.
    pub fn write(&self, command: &Command, out: &mut Vec<u8>) {
        let name = command.full_name();
        let text = match self {
            Self::NotInteger => "ERR value is not an integer or out of range".to_owned(),
            Self::BadNumber => "ERR Bad number of keys provided".to_owned(),
            Self::Negative => "ERR Number of keys can't be negative".to_owned(),
            Self::TooMany => "ERR Number of keys can't be greater than number of args".to_owned(),
            Self::Zero => "ERR numkeys should be greater than 0".to_owned(),
            Self::AtLeastOne => format!("ERR at least 1 input key is needed for '{name}' command"),
            Self::Syntax => "ERR syntax error".to_owned(),
            Self::Arity => return lookup::arity(command, out),
            Self::Unbalanced => {
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be \
                                 specified."
                    .to_owned()
            }
            Self::NoKeys => {
                let why = "nothing says which server should run it";
                format!("ERR cashew does not support '{}' without keys yet: {why}", command.name)
            }
        };
        encode::error(text.as_bytes(), out);
    }
}
