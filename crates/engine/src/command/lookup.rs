//! From a request's first words to its row, in any case, without an allocation; and what redis says where there
//! is no such row.

use wire::args::ArgView;
use wire::resp::encode;

use super::Command;
use super::hash::{self, Digest};
use super::redis::{COMMANDS, MOVES, SLOT};

/// A place of the table: which word is here, under which container, and its row.
pub(super) struct Slot {
    pub(super) lo: u64,
    pub(super) hi: u64,
    pub(super) len: u8,
    pub(super) parent: u16,
    pub(super) row: u16,
}

/// Why a request names no command that can be carried out.
#[derive(Clone, Copy, Debug)]
pub enum FindError {
    /// The client's: no such command.
    Unknown,
    /// The client's: the container has no such subcommand.
    UnknownSubcommand(&'static Command),
    /// The client's: too few or too many arguments.
    Arity(&'static Command),
}

/// The command that `args` asks for, if its number of arguments is right.
#[inline]
pub fn find(args: ArgView<'_>) -> Result<&'static Command, FindError> {
    let command = any_arity(args)?;
    if command.takes(args.len()) { Ok(command) } else { Err(FindError::Arity(command)) }
}

/// The command that `args` asks for, however many arguments it has.
#[inline]
pub(super) fn any_arity(args: ArgView<'_>) -> Result<&'static Command, FindError> {
    let command = row(args.get(0), TOP).ok_or(FindError::Unknown)?;
    if command.subcommands.is_empty() || args.len() == 1 {
        return Ok(command);
    }
    subcommand(command, args.get(1)).ok_or(FindError::UnknownSubcommand(command))
}

/// The command of a full name as redis writes it, `get` or `config|get`, in any case.
pub fn by_name(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        None => row(name, TOP),
        Some(bar) => subcommand(row(&name[..bar], TOP)?, &name[bar + 1..]),
    }
}

impl FindError {
    /// Appends the whole error reply, in the words of redis 7.
    pub fn write(&self, args: ArgView<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Unknown => {
                let mut shown = Vec::new();
                for arg in args.iter().skip(1).take(SHOWN_MAX) {
                    let room = SHOWN_MAX.saturating_sub(shown.len());
                    if room > 0 {
                        shown.extend_from_slice(&[b"'", cut(arg, room), b"' "].concat());
                    }
                }
                let name = cut(args.get(0), SHOWN_MAX);
                let text =
                    [b"ERR unknown command '", name, b"', with args beginning with: ", &shown].concat();
                encode::error(&text, out);
            }
            Self::UnknownSubcommand(container) => {
                let (word, name) = (cut(args.get(1), SHOWN_MAX), container.name.as_bytes());
                let text = [b"ERR unknown subcommand '", word, b"'. Try ", name, b" HELP."].concat();
                encode::error(&text, out);
            }
            Self::Arity(command) => arity(command, out),
        }
    }
}

/// Appends the error reply to a wrong number of arguments.
pub(super) fn arity(command: &Command, out: &mut Vec<u8>) {
    let text = format!("ERR wrong number of arguments for '{}' command", command.full_name());
    encode::error(text.as_bytes(), out);
}

/// The row of `word` in the container whose first subcommand is row `parent`, or among all commands ([`TOP`]).
#[inline]
fn row(word: &[u8], parent: u16) -> Option<&'static Command> {
    let digest = hash::digest(word)?;
    let (bucket, base) = hash::place(&digest, parent);
    let slot = &SLOT[hash::slot(base, MOVES[bucket])];
    if (Digest { lo: slot.lo, hi: slot.hi, len: slot.len }) != digest || slot.parent != parent {
        return None;
    }
    let command = COMMANDS.get(usize::from(slot.row))?;
    if word.len() > WHOLE_MAX && !ends_with(command.name, word) {
        return None;
    }
    Some(command)
}

fn subcommand(container: &Command, word: &[u8]) -> Option<&'static Command> {
    if container.subcommands.is_empty() { None } else { row(word, container.subcommands.start) }
}

/// Compares a word too long for its digest with the last word of `name`.
#[cold]
fn ends_with(name: &str, word: &[u8]) -> bool {
    name.rsplit(' ').next().is_some_and(|last| last.as_bytes().eq_ignore_ascii_case(word))
}

/// At most `max` bytes of `text`, which redis prints as a C string.
fn cut(text: &[u8], max: usize) -> &[u8] {
    let text = &text[..text.len().min(max)];
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// The parent of words that are in no container; row 0 is nobody's first subcommand.
const TOP: u16 = 0;

/// Up to this length a digest holds every byte of a word.
const WHOLE_MAX: usize = 16;

/// How much of a client's words an error repeats, in bytes; redis' own number.
const SHOWN_MAX: usize = 128;
