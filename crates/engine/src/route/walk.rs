//! Commands about all servers' keys or scripts that are more than one request to each and a merge.

use crate::command::{Command, Walk};
use crate::core::Core;
use crate::error::Cause;
use crate::limits::QUOTED_BYTES;
use crate::merge::{How, Part};
use crate::pinned::{ALL_PINNED, Purpose};
use crate::request::Target;
use crate::server_conn::Care;
use wire::args::ArgView;
use wire::resp::encode;

/// What INFO's first argument begins with where it is about one server.
pub(crate) const OF_SERVER: &[u8] = b"server:";

const DBSIZE: &[u8] = b"*1\r\n$6\r\nDBSIZE\r\n";

impl Core {
    /// `false`: it is to be read again when all that the client asked is answered.
    pub(crate) fn route_walk(
        &mut self,
        c: u32,
        command: &'static Command,
        walk: Walk,
        args: ArgView<'_>,
    ) -> bool {
        match walk {
            Walk::Copies => return self.wait_for_copies(c, command, args),
            Walk::Scan => self.scan(c, args),
            Walk::RandomKey => self.random_key(c, args),
            Walk::Kill => self.ask_aside(c, How::Killed, args),
            Walk::Running => self.ask_aside(c, How::Running, args),
        }
        true
    }

    /// Asks every server that has keys how many, and for one of them.
    fn random_key(&mut self, c: u32, args: ArgView<'_>) {
        let servers = self.live_servers(c);
        if let [] | [_] = servers[..] {
            return self.forward(c, servers.first().copied(), args.bytes(), true);
        }
        let draw = self.draw();
        let pool = self.replies.clients[c].pool;
        let request = self.replies.ask(c, 0);
        let mut merge = self.fresh_merge(pool, request, How::Drawn(draw));
        let pairs = servers.iter().flat_map(|server| [*server, *server]);
        merge.parts.extend(pairs.map(Part::new));
        merge.outstanding = 2 * servers.len() as u32;
        let merge = self.merges.insert(merge);
        for (index, server) in servers.into_iter().enumerate() {
            for (part, bytes) in [(0, DBSIZE), (1, args.bytes())] {
                let target = Target::Part { merge, part: 2 * index as u32 + part };
                self.forward_as(c, Some(server), target, Care::of_read(true), |out| {
                    out.extend_from_slice(bytes)
                });
            }
        }
    }

    /// SCRIPT KILL, FUNCTION KILL, FUNCTION STATS: the connection that a script came over is held up by it.
    fn ask_aside(&mut self, c: u32, how: How, args: ArgView<'_>) {
        let servers = self.live_servers(c);
        let (pool, protocol) = (self.replies.clients[c].pool, self.protocol(c));
        let request = self.replies.ask(c, 0);
        if servers.is_empty() {
            return self.fail_unasked(pool, Target::Request(request), Cause::Refused);
        }
        let mut merge = self.fresh_merge(pool, request, how);
        merge.parts.extend(servers.iter().copied().map(Part::new));
        merge.outstanding = servers.len() as u32;
        let merge = self.merges.insert(merge);
        for (part, server) in servers.into_iter().enumerate() {
            let target = Target::Part { merge, part: part as u32 };
            match self.pin(c, server, Purpose::Aside) {
                Ok(Some(s)) => {
                    self.send(s, target, Care::default(), |out| out.extend_from_slice(args.bytes()))
                }
                Ok(None) => self.fail(protocol, target, ALL_PINNED.trim_start_matches("ERR ")),
                Err(cause) => self.fail_unasked(pool, target, cause),
            }
        }
    }

    /// INFO server:NAME [section ...]: what that server says of itself.
    pub(crate) fn info_of_server(&mut self, c: u32, args: ArgView<'_>) {
        let view = self.view(c);
        let wanted = args.get(1).get(OF_SERVER.len()..).unwrap_or(&[]);
        let Some(server) = view.servers.iter().position(|server| server.name.as_bytes() == wanted) else {
            let names: Vec<&str> = view.servers.iter().map(|server| server.name.as_str()).collect();
            let shown: String = String::from_utf8_lossy(wanted).chars().take(QUOTED_BYTES).collect();
            let text =
                format!("ERR no server of this pool is called '{shown}'; there are {}", names.join(", "));
            return self.answer_now(c, |out| encode::error(text.as_bytes(), out));
        };
        let request = self.replies.ask(c, args.bytes().len());
        self.forward_as(c, Some(server as u32), Target::Request(request), Care::of_read(true), |out| {
            encode::array_header(args.len() - 1, out);
            encode::bulk(args.get(0), out);
            args.iter().skip(2).for_each(|arg| encode::bulk(arg, out));
        });
    }

    /// The servers of a client's pool that have keys now.
    fn live_servers(&self, c: u32) -> Vec<u32> {
        let view = self.view(c);
        let own = view.servers.iter().take(view.own).zip(0..);
        own.filter(|(server, _)| server.live).map(|(_, index)| index).collect()
    }
}
