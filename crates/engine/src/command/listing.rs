//! What COMMAND GETKEYS says: the keys of a request and what happens to each, as redis itself answers.
//!
//! This is not how requests are routed (`keys.rs`): redis tells clients "invalid" where the command would be fine
//! (PFMERGE with one key), and takes an odd MSET as it comes.

use wire::args::ArgView;

use super::flags::KeyFlags;
use super::keys::{Begin, Find, KeyError, KeySpec, Keys, integer};
use super::{Command, irregular};

/// A key's argument and what happens to the key.
pub(super) type Listed = (usize, KeyFlags);

/// The keys of a request, or nothing where its arguments make no sense.
pub(super) fn keys(command: &Command, args: ArgView<'_>) -> Option<Vec<Listed>> {
    let mut listed = Vec::new();
    if matches!(command.keys, Keys::Sort | Keys::Store(_) | Keys::Streams | Keys::Migrate) {
        irregular::keys(command.keys, args, |index, flags| listed.push((index, flags))).ok()?;
        return Some(listed);
    }
    for spec in command.specs.iter().filter(|spec| !spec.flags.has(KeyFlags::NOT_KEY)) {
        let (first, last, step) = extent(spec, args)?;
        if first > last || last >= args.len() {
            return None;
        }
        let flags = if spec.flags.has(KeyFlags::VARIABLE_FLAGS) { variable(command, args) } else { None };
        let flags = flags.unwrap_or(spec.flags.without(KeyFlags::VARIABLE_FLAGS));
        listed.extend((first..=last).step_by(step).map(|index| (index, flags)));
    }
    Some(listed)
}

/// The keys of a command that was learnt, for routing: a request whose optional keys are not there has none of these, but
/// it must have some.
pub(super) fn told(command: &Command, args: ArgView<'_>, out: &mut Vec<u32>) -> Result<(), KeyError> {
    for spec in command.specs.iter().filter(|spec| !spec.flags.has(KeyFlags::NOT_KEY)) {
        let begin = match spec.begin {
            Begin::Index(index) => Some(usize::from(index)),
            Begin::Keyword(word, from) => keyword(word, from, args).map(|index| index + 1),
            Begin::Unknown => return Err(KeyError::Syntax),
        };
        let Some(begin) = begin.filter(|begin| *begin > 0 && *begin < args.len()) else { continue };
        if let Find::Keynum { number, .. } = spec.find
            && args.get(begin + usize::from(number)) == b"0"
        {
            continue;
        }
        let (first, last, step) = extent(spec, args).ok_or(KeyError::Syntax)?;
        if first > last || last >= args.len() {
            return Err(KeyError::Syntax);
        }
        out.extend((first..=last).step_by(step).map(|index| index as u32));
    }
    if out.is_empty() { Err(KeyError::NoKeys) } else { Ok(()) }
}

/// Whether the command takes keys at all, channels not counted.
pub(super) fn has_keys(command: &Command) -> bool {
    command.specs.iter().any(|spec| !spec.flags.has(KeyFlags::NOT_KEY))
}

/// First key, last key and the distance between keys.
fn extent(spec: &KeySpec, args: ArgView<'_>) -> Option<(usize, usize, usize)> {
    let begin = match spec.begin {
        Begin::Index(index) => usize::from(index),
        Begin::Keyword(word, from) => keyword(word, from, args)? + 1,
        Begin::Unknown => return None,
    };
    match spec.find {
        Find::Range { last, step, limit } => {
            let last = match (usize::try_from(last), limit) {
                (Ok(last), _) => begin + last,
                (Err(_), 0) => args.len().checked_sub(usize::from(last.unsigned_abs()))?,
                (Err(_), limit) => {
                    (begin + args.len().checked_sub(begin)? / usize::from(limit)).checked_sub(1)?
                }
            };
            Some((begin, last, usize::from(step.max(1))))
        }
        Find::Keynum { number, first, step } => {
            let count = usize::try_from(integer(args.get(begin + usize::from(number)))?).ok()?;
            let (first, step) = (begin + usize::from(first), usize::from(step.max(1)));
            let last = first.checked_add(count.checked_sub(1)?.checked_mul(step)?)?;
            Some((first, last, step))
        }
        Find::Unknown => None,
    }
}

/// Where `word` stands, looked for from argument `from` on, or backwards from the end where `from` is negative.
fn keyword(word: &str, from: i16, args: ArgView<'_>) -> Option<usize> {
    let is_word = |index: &usize| word.as_bytes().eq_ignore_ascii_case(args.get(*index));
    if from >= 0 {
        (from as usize..args.len()).find(is_word)
    } else {
        let end = (args.len() + 1).saturating_sub(usize::from(from.unsigned_abs()));
        (1..end).rev().find(is_word)
    }
}

/// What SET and BITFIELD do depends on their options.
fn variable(command: &Command, args: ArgView<'_>) -> Option<KeyFlags> {
    const READ: KeyFlags = KeyFlags::of(&[KeyFlags::RO, KeyFlags::ACCESS]);
    const OVERWRITTEN: KeyFlags = KeyFlags::of(&[KeyFlags::OW, KeyFlags::UPDATE]);
    match command.name {
        "SET" => {
            let mut options = args.iter().skip(3);
            if options.any(|option| option.eq_ignore_ascii_case(b"GET")) { None } else { Some(OVERWRITTEN) }
        }
        "BITFIELD" => bitfield_reads_only(args).then_some(READ),
        _ => None,
    }
}

fn bitfield_reads_only(args: ArgView<'_>) -> bool {
    let mut index = 2;
    while index < args.len() {
        let option = args.get(index);
        index += match option {
            _ if option.eq_ignore_ascii_case(b"GET") => 3,
            _ if option.eq_ignore_ascii_case(b"OVERFLOW") => 2,
            _ => return false,
        };
    }
    true
}
