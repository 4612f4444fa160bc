//! Commands that the table does not have: looked up among those that the pool's servers have told of; and what is said of
//! all commands.

use crate::command::{Command, CommandReply, FindError, info};
use crate::core::Core;
use crate::limits::UNKNOWN_TOLD_US;
use crate::output::Output;
use wire::args::ArgView;

impl Core {
    /// What was found, or where that is nothing what the pool's servers know.
    #[cold]
    pub(crate) fn or_learnt(
        &mut self,
        c: u32,
        found: Result<&'static Command, FindError>,
        args: ArgView<'_>,
    ) -> Result<&'static Command, FindError> {
        let Err(error) = found else { return found };
        let client = &self.replies.clients[c];
        let (pool, authenticated) = (client.pool, client.authenticated);
        let Some(learnt) = &self.topology.pools[pool as usize].learnt else { return found };
        let found = learnt.find(error, args);
        let unknown = matches!(found, Err(FindError::Unknown | FindError::UnknownSubcommand(_)));
        if unknown && authenticated {
            self.tell_unknown(pool);
        }
        found
    }

    /// The pool's servers may have become others than they were when they were asked.
    fn tell_unknown(&mut self, pool: u32) {
        let now = self.now.mono_us;
        let from_us = &mut self.pools[pool as usize].unknown_from_us;
        if *from_us <= now {
            *from_us = now.saturating_add(UNKNOWN_TOLD_US);
            self.replies.outputs.push(Output::UnknownCommand { pool });
        }
    }

    /// COMMAND and its subcommands.
    pub(crate) fn command_reply(&mut self, c: u32, reply: CommandReply, args: ArgView<'_>) {
        if reply == CommandReply::Docs {
            return self.command_docs(c, args);
        }
        let (topology, client) = (self.topology.clone(), &self.replies.clients[c]);
        let (scope, resp3) = (topology.pools[client.pool as usize].scope(), client.resp3);
        self.answer_now(c, |out| info::write(reply, args, scope, resp3, out));
    }

    /// The HELP of a container.
    pub(crate) fn help(&mut self, c: u32, command: &'static Command) {
        let (topology, pool) = (self.topology.clone(), self.replies.clients[c].pool);
        let scope = topology.pools[pool as usize].scope();
        self.answer_now(c, |out| info::help(command, scope, out));
    }
}
