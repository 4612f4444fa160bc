//! Which commands clients of a pool have: those of the table that are served and not switched off, and those that were
//! learnt from its servers.

use super::{Book, Command, CommandSet, Learnt, Route, by_name};

/// A pool's commands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'p> {
    /// What was learnt from its servers.
    pub learnt: Option<&'p Learnt>,
    /// What its operator switched off.
    pub disabled: Option<&'p CommandSet>,
    /// What one of its servers says of its commands, in the protocol of whoever asks.
    pub book: Option<&'p Book>,
}

impl<'p> Scope<'p> {
    /// Whether clients get an answer other than an error; of a container, whether any of its parts is served.
    pub fn serves(&self, command: &Command) -> bool {
        match command.route {
            Route::NotYet(_) | Route::Refused(_) => self.parts(command).next().is_some(),
            _ => !self.disabled.is_some_and(|disabled| disabled.has(command)),
        }
    }

    /// The commands that stand alone or contain others.
    pub(super) fn top_level(self) -> impl Iterator<Item = &'static Command> {
        let learnt = self.learnt.into_iter().flat_map(Learnt::top_level);
        Command::top_level().chain(learnt).filter(move |command| self.serves(command))
    }

    /// The same, each followed by its subcommands.
    pub(super) fn all(self) -> impl Iterator<Item = &'static Command> {
        self.top_level().flat_map(move |command| std::iter::once(command).chain(self.parts(command)))
    }

    /// The subcommands of a command.
    pub(super) fn parts(self, command: &Command) -> impl Iterator<Item = &'static Command> {
        let learnt = self.learnt.map_or(&[][..], |learnt| learnt.parts(command)).iter().copied();
        // What is contained contains nothing.
        let is_served = move |part: &&'static Command| match part.route {
            Route::NotYet(_) | Route::Refused(_) => false,
            _ => !self.disabled.is_some_and(|disabled| disabled.has(part)),
        };
        command.subcommands().iter().chain(learnt).filter(is_served)
    }

    /// The command of a full name as redis writes it, if clients have it.
    pub(super) fn by_name(self, name: &[u8]) -> Option<&'static Command> {
        let known = by_name(name).or_else(|| self.learnt?.by_name(name));
        known.filter(|command| self.serves(command))
    }
}
