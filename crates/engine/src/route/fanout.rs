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
            Fanout::Same => How::Same,
            Fanout::First => {
                // All servers have the same: the first that is in will do.
                let states = &self.pools[self.replies.clients[c].pool as usize].servers;
                let servers = self.view(c).servers.iter().zip(states);
                let mut usable =
                    servers.map(|(view, state)| view.live && !view.drained && state.down.is_none());
                let first = usable.position(|usable| usable).map(|index| index as u32);
                return self.forward(c, first, args.bytes(), command.flags.has(Flags::READONLY));
            }
        };
        let bytes = args.bytes();
        self.send_to_all(c, how, |out| out.extend_from_slice(bytes));
    }
}
