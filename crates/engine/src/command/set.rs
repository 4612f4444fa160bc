//! A set of commands, for what a pool's clients may not use.

use super::{Command, by_name};

/// Commands, by their rows.
#[derive(Clone, Debug, Default)]
pub struct CommandSet {
    rows: Vec<u64>,
}

impl CommandSet {
    /// The commands of these names as redis writes them, `keys` or `config|get`, in any case; a container stands for all that
    /// it contains. Names that are none are left out. Nothing where there are none.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<CommandSet> {
        let mut set = CommandSet::default();
        for command in names.into_iter().filter_map(|name| by_name(name.as_bytes())) {
            set.add(command);
            command.subcommands().iter().for_each(|part| set.add(part));
        }
        (!set.rows.is_empty()).then_some(set)
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
        self.rows.get(row(command) / 64).is_some_and(|word| word >> (row(command) % 64) & 1 == 1)
    }
}

/// A command's place in the table, of which it is a part.
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
        let set = CommandSet::of(["Keys", "script", "CONFIG|get", "nosuch"]).expect("some are commands");
        for command in Command::table() {
            let expected = matches!(command.name, "KEYS" | "SCRIPT" | "CONFIG GET")
                || command.name.starts_with("SCRIPT ");
            assert_eq!(set.has(command), expected, "{}", command.name);
        }
        assert!(CommandSet::of([]).is_none() && CommandSet::of(["nosuch"]).is_none());
    }
}
