//! Requests that concern every server of the pool, or any one of them.

use crate::command::{Command, Fanout, Flags};
use crate::core::Core;
use crate::merge::How;
use wire::args::ArgView;

impl Core {
    pub(crate) fn route_fanout(
        &mut self,
        c: u32,
        command: &'static Command,
        fanout: Fanout,
        args: ArgView<'_>,
    ) {
        let how = match fanout {
            Fanout::AllOk => How::AllOk,
            Fanout::Sum => How::Sum,
            Fanout::Concat => How::Concat,
            Fanout::And => How::And,
            Fanout::OneOk => How::OneOk,
            Fanout::Same if command.name == "FUNCTION LOAD" => How::Loaded,
            Fanout::Same => How::Same,
            Fanout::Union => How::Union,
            Fanout::Most => How::Most,
            Fanout::Least => How::Least,
            Fanout::Counts => How::Counts,
            Fanout::First | Fanout::Any => {
                // Any will do: the first that answers will do, or one that says why it does not.
                let states = &self.pools[self.replies.clients[c].pool as usize].servers;
                let view = self.view(c);
                let servers = || view.servers.iter().take(view.own).zip(states);
                let usable =
                    servers().position(|(view, state)| view.live && !view.drained && state.down.is_none());
                // Where none can be asked, the first says why.
                let first = usable.or_else(|| servers().position(|(view, _)| view.live));
                let first = first.map(|index| index as u32);
                return self.forward(c, first, args.bytes(), command.flags.has(Flags::READONLY));
            }
        };
        match command.name {
            "FLUSHALL" if self.view(c).detour => self.follow_flush(self.replies.clients[c].pool, None),
            "FLUSHDB" if self.view(c).detour => {
                let database = self.database_of(c);
                self.follow_flush(self.replies.clients[c].pool, Some(database));
            }
            "SCRIPT LOAD" => _ = self.learn_script(c, args.get(2)),
            "FUNCTION LOAD" => self.note_load(c, args),
            "FUNCTION DELETE" => return self.forget_first(c, Some(args.get(2)), args),
            "FUNCTION FLUSH" | "FUNCTION RESTORE" => return self.forget_first(c, None, args),
            "SCRIPT FLUSH" => self.pools[self.replies.clients[c].pool as usize].scripts.clear(),
            _ => {}
        }
        if command.name == "SWAPDB" && self.refuse_crossing(c) {
            return;
        }
        let bytes = args.bytes();
        let merge = self.send_to_all(c, how, |out| out.extend_from_slice(bytes));
        if how == How::Loaded
            && let Some(merge) = self.merges.get_mut(merge)
        {
            // The code comes last.
            merge.keys.push(args.get(args.len() - 1));
        }
    }
}
