//! The commands whose keys stand behind options: SORT, GEORADIUS, XREAD, XREADGROUP and MIGRATE. Options are read
//! from the front, as the commands themselves do, so that a value that looks like an option misleads nobody.

use std::ops::Range;

use wire::args::ArgView;

use super::flags::KeyFlags;
use super::keys::{KeyError, Keys};

/// Hands every key's index, and what happens to that key, to `found`.
pub(super) fn keys(
    keys: Keys,
    args: ArgView<'_>,
    mut found: impl FnMut(usize, KeyFlags),
) -> Result<(), KeyError> {
    match keys {
        Keys::Sort => {
            found(1, READ);
            let stores = sort_options(args).filter(|(option, _)| *option == SortOption::Store);
            stores.last().into_iter().for_each(|(_, value)| found(value, STORED));
        }
        Keys::Store(from) => {
            found(1, READ);
            stored(args, usize::from(from)).into_iter().for_each(|index| found(index, STORED));
        }
        Keys::Streams => streams(args)?.for_each(|index| found(index, READ)),
        Keys::Migrate => migrated(args)?.for_each(|index| found(index, MOVED)),
        Keys::None | Keys::First | Keys::At(_) | Keys::Range { .. } | Keys::Specs | Keys::Told => {}
    }
    Ok(())
}

/// Hands the index of each BY or GET pattern with a `*` to `found`. Without one, BY means "do not sort" and GET
/// answers nothing or, as `#`, the element itself: neither looks at another key.
pub(super) fn sort_patterns(args: ArgView<'_>, mut found: impl FnMut(usize)) {
    let patterns = sort_options(args).filter(|(option, _)| *option == SortOption::Pattern);
    patterns.filter(|(_, value)| args.get(*value).contains(&b'*')).for_each(|(_, value)| found(value));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SortOption {
    Store,
    Pattern,
}

/// SORT's options that name keys, and where their values are.
fn sort_options(args: ArgView<'_>) -> impl Iterator<Item = (SortOption, usize)> + '_ {
    let mut index = 2;
    std::iter::from_fn(move || {
        while index + 1 < args.len() {
            let value = index + 1;
            let option = word(args.get(index), &[b"STORE", b"BY", b"GET", b"LIMIT"]);
            index = value + option.map_or(0, |option| if option == 3 { 2 } else { 1 });
            match option {
                Some(0) => return Some((SortOption::Store, value)),
                Some(1 | 2) => return Some((SortOption::Pattern, value)),
                _ => {}
            }
        }
        None
    })
}

/// Where GEORADIUS puts its result: the last STORE's or STOREDIST's value.
fn stored(args: ArgView<'_>, from: usize) -> Option<usize> {
    let mut found = None;
    let mut index = from;
    while index + 1 < args.len() {
        let option = word(args.get(index), &[b"COUNT", b"STORE", b"STOREDIST"]);
        if matches!(option, Some(1 | 2)) {
            found = Some(index + 1);
        }
        index += if option.is_some() { 2 } else { 1 };
    }
    found
}

/// What stands before the streams of an XREAD or XREADGROUP.
pub(super) struct StreamOptions {
    /// Whether BLOCK is among the options.
    pub(super) blocks: bool,
    /// The argument that says for how long.
    pub(super) wait: Option<usize>,
    /// The argument after STREAMS, where there is one.
    first: Option<usize>,
}

/// Reads the options of XREAD or XREADGROUP. A group or a consumer may be called STREAMS or BLOCK.
pub(super) fn stream_options(args: ArgView<'_>) -> StreamOptions {
    let mut found = StreamOptions { blocks: false, wait: None, first: None };
    let mut index = 1;
    while index < args.len() {
        let options: &[&[u8]] =
            &[b"STREAMS", b"BLOCK", b"COUNT", b"CLAIM", b"MAXCOUNT", b"MAXSIZE", b"GROUP", b"NOACK"];
        match word(args.get(index), options) {
            Some(0) => {
                found.first = Some(index + 1);
                break;
            }
            Some(1) => {
                (found.blocks, found.wait) = (true, Some(index + 1));
                index += 2;
            }
            Some(2..=5) => index += 2,
            Some(6) => index += 3,
            Some(_) => index += 1,
            None => break,
        }
    }
    found
}

fn streams(args: ArgView<'_>) -> Result<Range<usize>, KeyError> {
    let first = stream_options(args).first.ok_or(KeyError::Syntax)?;
    match args.len().saturating_sub(first) {
        0 => Err(KeyError::Syntax),
        count if count % 2 != 0 => Err(KeyError::Unbalanced),
        count => Ok(first..first + count / 2),
    }
}

/// MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password] [AUTH2 name password] [KEYS key ...].
fn migrated(args: ArgView<'_>) -> Result<Range<usize>, KeyError> {
    let mut index = 6;
    while index < args.len() {
        index += match word(args.get(index), &[b"KEYS", b"AUTH", b"AUTH2"]) {
            // With KEYS the single key must be empty.
            Some(0) if args.get(3).is_empty() => return Ok(index + 1..args.len()),
            Some(0) => return Err(KeyError::Syntax),
            Some(1) => 2,
            Some(_) => 3,
            None => 1,
        };
    }
    Ok(3..4)
}

/// Which of `words` `arg` is, in any case.
fn word(arg: &[u8], words: &[&[u8]]) -> Option<usize> {
    words.iter().position(|word| word.eq_ignore_ascii_case(arg))
}

const READ: KeyFlags = KeyFlags::of(&[KeyFlags::RO, KeyFlags::ACCESS]);
const STORED: KeyFlags = KeyFlags::of(&[KeyFlags::OW, KeyFlags::UPDATE]);
const MOVED: KeyFlags = KeyFlags::of(&[KeyFlags::RW, KeyFlags::ACCESS, KeyFlags::DELETE]);
