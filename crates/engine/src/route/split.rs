//! Requests about many keys, split by server. Each part is written straight into its server's output:
//! no buffer per key.

use crate::command::{Command, Flags, Split};
use crate::core::Core;
use crate::error::Cause;
use crate::merge::{How, Part};
use crate::request::Target;
use crate::server_conn::Care;
use crate::slab::NONE;
use config::Protocol;
use stats::PoolMetric;
use wire::args::{ArgView, Args};
use wire::memcache::{self, Request, Verb};
use wire::resp::encode;

/// The shape of a request that is split: `word unit unit ... trailing`.
struct Units {
    /// Index of the first key.
    first: usize,
    /// How many keys.
    count: usize,
    /// Arguments per key, the key included.
    step: usize,
    /// Arguments after the last unit, which every part needs.
    trailing: usize,
}

impl Core {
    /// MGET, MSET, DEL and their like.
    pub(crate) fn route_split(&mut self, c: u32, command: &'static Command, split: Split, args: ArgView<'_>) {
        let rest = args.len() - 1;
        let partial = self.view(c).partial_is_miss;
        let (step, trailing, how) = match split {
            Split::Mget => (1, 0, How::Elements(partial)),
            Split::Mset => (2, 0, How::AllOk),
            Split::Sum => (1, 0, How::Sum),
            Split::JsonMget => (1, 1, How::Elements(partial)),
        };
        let count = rest.saturating_sub(trailing) / step;
        if count == 0 || count * step + trailing != rest {
            let text =
                format!("ERR wrong number of arguments for '{}' command", command.name.to_ascii_lowercase());
            return self.answer_now(c, |out| encode::error(text.as_bytes(), out));
        }
        let units = Units { first: 1, count, step, trailing };
        match self.place_units(c, args, &units) {
            Placed::One(server) => {
                self.forward(c, server, args.bytes(), command.flags.has(Flags::READONLY));
            }
            Placed::Many => self.send_parts(c, args, &units, how, command.flags.has(Flags::READONLY)),
        }
        if self.view(c).detour && !command.flags.has(Flags::READONLY) {
            self.follow_units(c, args, &units);
        }
    }

    /// memcached's get, gets, gat and gats with several keys.
    pub(crate) fn route_multiget(&mut self, c: u32, request: &Request, args: &Args, bytes: &[u8]) {
        let units =
            Units { first: request.first_key as usize, count: request.keys as usize, step: 1, trailing: 0 };
        match self.place_units(c, args.view(bytes), &units) {
            Placed::One(server) => {
                let slot = self.replies.ask(c, bytes.len());
                let target = Target::Request(slot);
                let exptime = self.bounded_exptime(c, server, request, args.view(bytes));
                self.forward_as(c, server, target, Care::default(), |out| {
                    memcache::encode::forward_until(request, bytes, args, exptime.as_deref(), out);
                });
            }
            Placed::Many => {
                let partial = self.view(c).partial_is_miss;
                let read = matches!(request.verb, Verb::Get | Verb::Gets);
                self.send_parts(c, args.view(bytes), &units, How::Values(partial), read);
            }
        }
        if self.view(c).detour && matches!(request.verb, Verb::Gat | Verb::Gats) {
            self.follow_units(c, args.view(bytes), &units);
        }
    }

    /// The keys of a split write, whose servers are in `scratch.servers`, while other servers are away.
    fn follow_units(&mut self, c: u32, args: ArgView<'_>, units: &Units) {
        let (pool, lane) = (self.replies.clients[c].pool, self.slot(c));
        let servers = std::mem::take(&mut self.scratch.servers);
        for (unit, server) in servers.iter().enumerate() {
            let key = args.get(units.first + unit * units.step);
            self.follow_write(pool, lane, key, Some(*server).filter(|server| *server != NONE));
        }
        self.scratch.servers = servers;
    }

    /// Finds every key's server: in `scratch.servers`, with counts in `scratch.parts`.
    fn place_units(&mut self, c: u32, args: ArgView<'_>, units: &Units) -> Placed {
        let pool = self.replies.clients[c].pool;
        let mut servers = std::mem::take(&mut self.scratch.servers);
        servers.clear();
        let mut one = true;
        for unit in 0..units.count {
            let server = self.place(pool, args.get(units.first + unit * units.step)).unwrap_or(NONE);
            one &= servers.first().is_none_or(|first| *first == server);
            servers.push(server);
        }
        let first = servers.first().copied().filter(|server| *server != NONE);
        self.scratch.servers = servers;
        if one { Placed::One(first) } else { Placed::Many }
    }

    fn send_parts(&mut self, c: u32, args: ArgView<'_>, units: &Units, how: How, read: bool) {
        let pool = self.replies.clients[c].pool;
        let redis = self.protocol(c) == Protocol::Redis;
        let slot = self.slot(c);
        let request = self.replies.ask(c, args.bytes().len());
        let merge = self.new_merge(pool, request, how);
        let servers = std::mem::take(&mut self.scratch.servers);
        let mut parts = std::mem::take(&mut self.scratch.parts);
        parts.clear();
        parts.resize(self.topology.pools[pool as usize].servers.len(), 0);
        servers.iter().for_each(|server| parts[*server as usize] += 1);

        // Each server's part begins, where the server can be asked; `parts` now says which part a server has.
        let mut failed = std::mem::take(&mut self.scratch.failed);
        for (server, count) in parts.iter_mut().enumerate() {
            let keys = std::mem::replace(count, NONE) as usize;
            if keys == 0 {
                continue;
            }
            let part = self.merges[merge].parts.len() as u32;
            self.merges[merge].parts.push(Part::new(server as u32));
            *count = part;
            let conn = match self.usable_conn(pool, server as u32, slot) {
                Ok(conn) => conn,
                Err(cause) => {
                    failed.push((part, cause));
                    continue;
                }
            };
            // The word between the command and the keys of gat and gats.
            let exptime = if redis || units.first < 2 { None } else { Some(args.get(1)) };
            let bounded = exptime.and_then(|exptime| self.bounded(pool, server as u32, exptime));
            self.append(conn, |out| {
                if redis {
                    encode::array_header(1 + keys * units.step + units.trailing, out);
                    encode::bulk(args.get(0), out);
                } else {
                    out.extend_from_slice(args.get(0));
                    if let Some(exptime) = bounded.as_deref().or(exptime) {
                        out.push(b' ');
                        out.extend_from_slice(exptime);
                    }
                }
            });
        }
        self.count_pool(pool, PoolMetric::Fragments).add(self.merges[merge].parts.len() as u64);
        let has_failed = |part: u32| failed.iter().any(|(other, _)| *other == part);
        // Each key goes to its server's part.
        for (unit, server) in servers.iter().enumerate() {
            let part = parts[*server as usize];
            let from = units.first + unit * units.step;
            let state = &mut self.merges[merge];
            state.order.push(part);
            if !redis {
                state.keys.push(args.get(from));
            }
            if failed.is_empty() || !has_failed(part) {
                let conn = self.conn_for(pool, *server, slot);
                self.append(conn, |out| {
                    if redis {
                        (from..from + units.step).for_each(|index| encode::bulk(args.get(index), out));
                    } else {
                        memcache::encode::multiget_key(args.get(from), out);
                    }
                });
            }
        }
        // Each part ends.
        self.merges[merge].outstanding = self.merges[merge].parts.len() as u32;
        for (server, part) in parts.iter().enumerate().filter(|(_, part)| **part != NONE) {
            if has_failed(*part) {
                continue;
            }
            let conn = self.conn_for(pool, server as u32, slot);
            let target = Target::Part { merge, part: *part };
            self.send(conn, target, Care::of_read(read), |out| {
                if redis {
                    (args.len() - units.trailing..args.len()).for_each(|i| encode::bulk(args.get(i), out));
                } else {
                    memcache::encode::multiget_end(out);
                }
            });
        }
        for (part, cause) in failed.drain(..) {
            self.fail_unasked(pool, Target::Part { merge, part }, cause);
        }
        self.scratch.failed = failed;
        self.scratch.servers = servers;
        self.scratch.parts = parts;
    }

    /// The same bytes to every server of the pool.
    pub(crate) fn send_to_all(&mut self, c: u32, how: How, write: impl Fn(&mut Vec<u8>)) {
        let pool = self.replies.clients[c].pool;
        let request = self.replies.ask(c, 0);
        let merge = self.new_merge(pool, request, how);
        let count = self.topology.pools[pool as usize].own as u32;
        self.merges[merge].parts.extend((0..count).map(Part::new));
        self.merges[merge].outstanding = count;
        let protocol = self.protocol(c);
        for part in 0..count {
            let target = Target::Part { merge, part };
            if self.topology.pools[pool as usize].servers[part as usize].live {
                self.forward_as(c, Some(part), target, Care::default(), &write);
            } else {
                // An ejected server may still hold keys: leaving it out would be a partial answer.
                self.fail(protocol, target, Cause::Refused.text());
            }
        }
    }
}

/// How the keys of a request spread.
enum Placed {
    /// All on one server, or on none.
    One(Option<u32>),
    /// On several.
    Many,
}
