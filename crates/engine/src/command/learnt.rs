//! The commands that servers of a pool have and the table has not.

use std::collections::BTreeMap;

use wire::args::ArgView;

use super::learn::NAME_MAX;
use super::{Command, FindError, Keys, Route};

/// Commands, and subcommands of others, by their names. Looked into only where [`find`](super::find) found nothing.
#[derive(Clone, Debug, Default)]
pub struct Learnt {
    /// By name in capitals.
    commands: BTreeMap<&'static str, Entry>,
}

/// A command that was learnt, or one of the table with subcommands that were.
#[derive(Clone, Debug)]
struct Entry {
    command: &'static Command,
    /// Whether the command itself was learnt.
    new: bool,
    parts: Vec<&'static Command>,
}

impl Learnt {
    /// Adds a command.
    pub(super) fn add(&mut self, command: &'static Command) {
        self.commands.entry(command.name).or_insert(Entry { command, new: true, parts: Vec::new() });
    }

    /// Adds a subcommand of a command that was added, or of one of the table.
    pub(super) fn add_part(&mut self, container: &'static Command, part: &'static Command) {
        let entry = Entry { command: container, new: false, parts: Vec::new() };
        let parts = &mut self.commands.entry(container.name).or_insert(entry).parts;
        if parts.iter().all(|known| known.name != part.name) {
            parts.push(part);
        }
    }

    /// The command that `args` asks for, which is not in the table for the reason `error`.
    pub fn find(&self, error: FindError, args: ArgView<'_>) -> Result<&'static Command, FindError> {
        let command = self.any_arity(error, args)?;
        // A module says nothing of how many arguments its commands take, but what goes by its first one needs that.
        let enough = command.keys != Keys::First || args.len() > 1;
        if enough && command.takes(args.len()) { Ok(command) } else { Err(FindError::Arity(command)) }
    }

    /// The same, however many arguments there are.
    pub(super) fn any_arity(
        &self,
        error: FindError,
        args: ArgView<'_>,
    ) -> Result<&'static Command, FindError> {
        match error {
            FindError::Unknown => {
                let entry = self.entry(args.get(0)).filter(|entry| entry.new).ok_or(error)?;
                if entry.parts.is_empty() || args.len() == 1 {
                    return Ok(entry.command);
                }
                entry.part(args.get(1)).ok_or(FindError::UnknownSubcommand(entry.command))
            }
            FindError::UnknownSubcommand(container) => {
                let entry = self.commands.get(container.name);
                entry.and_then(|entry| entry.part(args.get(1))).ok_or(error)
            }
            FindError::Arity(_) => Err(error),
        }
    }

    /// The command of a full name as redis writes it, `ft.x` or `ft.x|get`, in any case.
    pub fn by_name(&self, name: &[u8]) -> Option<&'static Command> {
        match name.iter().position(|byte| *byte == b'|') {
            None => self.entry(name).filter(|entry| entry.new).map(|entry| entry.command),
            Some(bar) => self.entry(&name[..bar])?.part(&name[bar + 1..]),
        }
    }

    fn entry(&self, word: &[u8]) -> Option<&Entry> {
        let mut room = [0; NAME_MAX];
        let upper = room.get_mut(..word.len())?;
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        self.commands.get(std::str::from_utf8(upper).ok()?)
    }

    /// The commands that were learnt, without the subcommands, in order of their names.
    pub fn top_level(&self) -> impl Iterator<Item = &'static Command> {
        self.commands.values().filter(|entry| entry.new).map(|entry| entry.command)
    }

    /// The subcommands of `container` that were learnt.
    pub fn parts(&self, container: &Command) -> &[&'static Command] {
        self.commands.get(container.name).map_or(&[], |entry| &entry.parts)
    }

    /// Every command and subcommand that was learnt, containers left out.
    fn all(&self) -> impl Iterator<Item = &'static Command> {
        self.commands.values().flat_map(|entry| {
            let own = (entry.new && entry.parts.is_empty()).then_some(entry.command);
            own.into_iter().chain(entry.parts.iter().copied())
        })
    }

    /// How many commands and subcommands were learnt.
    pub fn len(&self) -> usize {
        self.all().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// How many of them are passed on.
    pub fn passed_on(&self) -> usize {
        self.all().filter(|command| command.route == Route::ByKey).count()
    }

    /// Whether `other` has the same. A row is made once, so that the same rows say the same.
    pub fn is_same(&self, other: &Learnt) -> bool {
        self.all().map(std::ptr::from_ref).eq(other.all().map(std::ptr::from_ref))
    }
}

impl Entry {
    fn part(&self, word: &[u8]) -> Option<&'static Command> {
        let is = |part: &&&'static Command| {
            let name = part.name.rsplit(' ').next().unwrap_or(part.name);
            name.as_bytes().eq_ignore_ascii_case(word)
        };
        self.parts.iter().find(is).copied()
    }
}
