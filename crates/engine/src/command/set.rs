//! A set of commands, for what a pool's clients may not use.

use super::{Command, by_name};

/// Commands: those of the table by their rows, others by their names.
#[derive(Clone, Debug, Default)]
pub struct CommandSet {
    rows: Vec<u64>,
    /// In capitals, a subcommand behind its container's name and a space.
    names: Vec<String>,
}

impl CommandSet {
    /// The commands of these names as redis writes them, `keys` or `config|get`, in any case; a container stands for all that
    /// it contains. A name that the table does not have is that of a command which may be learnt. Nothing where there are
    /// no names.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<CommandSet> {
        let mut set = CommandSet::default();
        for name in names {
            let known = by_name(name.as_bytes());
            if known.is_none_or(|command| !command.subcommands().is_empty()) {
                set.names.push(name.to_ascii_uppercase().replace('|', " "));
            }
            if let Some(command) = known {
                set.add(command);
                command.subcommands().iter().for_each(|part| set.add(part));
            }
        }
        (!set.rows.is_empty() || !set.names.is_empty()).then_some(set)
    }

    fn add(&mut self, command: &Command) {
        self.rows.resize(Command::table().len().div_ceil(64), 0);
        if let Some(word) = self.rows.get_mut(row(command) / 64) {
            *word |= 1 << (row(command) % 64);
        }
    }

    /// Whether a command is among them.
    #[inline]
    pub fn has(&self, command: &Command) -> bool {
        let row = row(command);
        if row >= Command::table().len() {
            return self.has_learnt(command);
        }
        self.rows.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    #[cold]
    fn has_learnt(&self, command: &Command) -> bool {
        let container = command.name.split(' ').next().unwrap_or(command.name);
        self.names.iter().any(|name| name == command.name || name == container)
    }
}

/// A command's place in the table, if it is a part of it.
#[inline]
fn row(command: &Command) -> usize {
    let first = Command::table().as_ptr() as usize;
    (std::ptr::from_ref(command) as usize).wrapping_sub(first) / size_of::<Command>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_those_that_were_named() {
        let set = CommandSet::of(["Keys", "script", "CONFIG|get", "nosuch"]).expect("there are names");
        for command in Command::table() {
            let expected = matches!(command.name, "KEYS" | "SCRIPT" | "CONFIG GET")
                || command.name.starts_with("SCRIPT ");
            assert_eq!(set.has(command), expected, "{}", command.name);
        }
        assert!(CommandSet::of([]).is_none());
    }
}
