//! Requests about many keys, split by server. Each part is written straight into its server's output:
//! no buffer per key.

use crate::command::{Command, Flags, Split};
use crate::core::Core;
use crate::error::Cause;
use crate::limits::JOINED_KEYS;
use crate::merge::{How, Merge, Part};
use crate::request::Target;
use crate::route::divide::Division;
use crate::server_conn::Care;
use crate::slab::NONE;
use config::Protocol;
use stats::PoolMetric;
use wire::args::{ArgView, Args};
use wire::memcache::{self, Request, Verb};
use wire::resp::encode;

/// The shape of a request that is split: `word unit unit ... trailing`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units {
    /// Index of the first key.
    pub(super) first: usize,
    /// How many keys.
    pub(super) count: usize,
    /// Arguments per key, the key included.
    pub(super) step: usize,
    /// Arguments after the last unit, which every part needs.
    pub(super) trailing: usize,
}

impl Core {
    /// MGET, MSET, DEL and their like. `false`: it is divided, and comes again.
    pub(crate) fn route_split(
        &mut self,
        c: u32,
        command: &'static Command,
        split: Split,
        args: ArgView<'_>,
    ) -> bool {
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
            self.answer_now(c, |out| encode::error(text.as_bytes(), out));
            return true;
        }
        let units = Units { first: 1, count, step, trailing };
        let read = command.flags.has(Flags::READONLY);
        let placed = match self.is_bulky(&units, args.bytes()) {
            false => self.place_units(c, args, &units),
            true => match self.take_division(c, None, &units) {
                Some(placed) => placed,
                None => return false,
            },
        };
        match placed {
            Placed::One(server) => self.forward(c, server, args.bytes(), read),
            Placed::Many => self.send_parts(c, args, &units, how, read),
            Placed::Divided(division) => self.send_division(c, args, &units, how, read, *division),
        }
        if self.view(c).detour && !read {
            self.follow_units(c, args, &units);
        }
        true
    }

    /// memcached's get, gets, gat and gats with several keys. `false`: it is divided, and comes again.
    pub(crate) fn route_multiget(&mut self, c: u32, request: &Request, args: &Args, bytes: &[u8]) -> bool {
        let units =
            Units { first: request.first_key as usize, count: request.keys as usize, step: 1, trailing: 0 };
        let placed = match self.is_bulky(&units, bytes) {
            false => self.place_units(c, args.view(bytes), &units),
            true => match self.take_division(c, Some(*request), &units) {
                Some(placed) => placed,
                None => return false,
            },
        };
        let how = How::Values(self.view(c).partial_is_miss);
        let read = matches!(request.verb, Verb::Get | Verb::Gets);
        match placed {
            Placed::One(server) => {
                let slot = self.replies.ask(c, bytes.len());
                let target = Target::Request(slot);
                let exptime = self.bounded_exptime(c, server, request, args.view(bytes));
                self.forward_as(c, server, target, Care::default(), |out| {
                    memcache::encode::forward_until(request, bytes, args, exptime.as_deref(), out);
                });
            }
            Placed::Many => self.send_parts(c, args.view(bytes), &units, how, read),
            Placed::Divided(division) => {
                self.send_division(c, args.view(bytes), &units, how, read, *division);
            }
        }
        if self.view(c).detour && matches!(request.verb, Verb::Gat | Verb::Gats) {
            self.follow_units(c, args.view(bytes), &units);
        }
        true
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

    /// Finds every key's server: in `scratch.servers`, or [`NONE`].
    fn place_units(&mut self, c: u32, args: ArgView<'_>, units: &Units) -> Placed {
        let pool = self.replies.clients[c].pool;
        let mut servers = std::mem::take(&mut self.scratch.servers);
        servers.clear();
        let keys = (0..units.count).map(|unit| args.get(units.first + unit * units.step));
        let view = &self.topology.pools[pool as usize];
        if view.random {
            servers.extend(keys.map(|key| self.place(pool, key).unwrap_or(NONE)));
        } else {
            servers.extend(keys.map(|key| view.place(key, 0).unwrap_or(NONE)));
        }
        let first = servers.first().copied().unwrap_or(NONE);
        let one = servers.iter().all(|server| *server == first);
        self.scratch.servers = servers;
        if one { Placed::One(Some(first).filter(|server| *server != NONE)) } else { Placed::Many }
    }

    fn send_parts(&mut self, c: u32, args: ArgView<'_>, units: &Units, how: How, read: bool) {
        let (pool, slot) = (self.replies.clients[c].pool, self.slot(c));
        let redis = self.protocol(c) == Protocol::Redis;
        let request = self.replies.ask(c, args.bytes().len());
        let mut merge = self.fresh_merge(pool, request, how);
        let servers = std::mem::take(&mut self.scratch.servers);
        let mut shares = std::mem::take(&mut self.scratch.shares);
        self.share_out(pool, &servers, &mut shares, &mut merge.order);

        // Each server's part begins, where the server can be asked.
        for share in &mut shares {
            merge.parts.push(Part::new(share.server));
            if share.server != NONE {
                share.conn = self.usable_conn(pool, share.server, slot);
            }
            if let Ok(conn) = share.conn {
                self.begin_part(conn, args, units, share.units as usize, redis);
            }
        }
        self.count_pool(pool, PoolMetric::Fragments).add(merge.parts.len() as u64);
        // Each key goes to its server's part.
        for (unit, part) in merge.order.iter().enumerate() {
            let from = units.first + unit * units.step;
            if !redis {
                merge.keys.push(args.get(from));
            }
            if let Ok(conn) = shares[*part as usize].conn {
                self.append(conn, |out| match redis {
                    true => out.extend_from_slice(args.encoded(from..from + units.step)),
                    false => memcache::encode::multiget_key(args.get(from), out),
                });
            }
        }
        self.end_parts(pool, merge, &shares, args, units, read);
        self.scratch.servers = servers;
        self.scratch.shares = shares;
    }

    /// Each part ends, and its reply is waited for.
    #[inline(always)] // into the usual way
    pub(super) fn end_parts(
        &mut self,
        pool: u32,
        mut merge: Merge,
        shares: &[Share],
        args: ArgView<'_>,
        units: &Units,
        read: bool,
    ) {
        merge.outstanding = merge.parts.len() as u32;
        let merge = self.merges.insert(merge);
        for (part, share) in shares.iter().enumerate() {
            self.end_part(pool, share, Target::Part { merge, part: part as u32 }, args, units, read);
        }
    }

    /// A part ends, and its reply is for `target`.
    #[inline(always)] // into the usual way
    pub(super) fn end_part(
        &mut self,
        pool: u32,
        share: &Share,
        target: Target,
        args: ArgView<'_>,
        units: &Units,
        read: bool,
    ) {
        let redis = self.topology.pools[pool as usize].protocol == Protocol::Redis;
        match share.conn {
            Ok(conn) if matches!(target, Target::Part { .. }) && self.is_joined(pool, args, units) => {
                self.append(conn, memcache::encode::multiget_end);
                self.join_part(conn, target, Care::of_read(read));
            }
            Ok(conn) => self.send_inline(conn, target, Care::of_read(read), |out| match redis {
                true => out.extend_from_slice(args.encoded(args.len() - units.trailing..args.len())),
                false => memcache::encode::multiget_end(out),
            }),
            Err(cause) => self.fail_unasked(pool, target, cause),
        }
    }

    /// Whether the parts of a request may go with other requests.
    fn is_joined(&self, pool: u32, args: ArgView<'_>, units: &Units) -> bool {
        let few = units.first == 1 && units.count <= JOINED_KEYS.into();
        few && self.topology.pools[pool as usize].join_gets && args.get(0) == Verb::Get.name().as_bytes()
    }

    /// Makes a share for each of the `servers` that units go to, in the order of their first units, and says for each unit
    /// which share has it.
    fn share_out(&mut self, pool: u32, servers: &[u32], shares: &mut Vec<Share>, order: &mut Vec<u32>) {
        let share_of = &mut self.scratch.share_of;
        let count = self.topology.pools[pool as usize].servers.len();
        // The last is for units that no server takes.
        share_of.resize(share_of.len().max(count + 1), NONE);
        shares.clear();
        for server in servers {
            let place = &mut share_of[(*server as usize).min(count)];
            if *place == NONE {
                *place = shares.len() as u32;
                shares.push(Share { server: *server, units: 0, conn: Err(Cause::Refused) });
            }
            shares[*place as usize].units += 1;
            order.push(*place);
        }
        shares.iter().for_each(|share| share_of[(share.server as usize).min(count)] = NONE);
    }

    /// The words of a part before its first key.
    #[inline(always)] // into the usual way
    pub(super) fn begin_part(
        &mut self,
        conn: u32,
        args: ArgView<'_>,
        units: &Units,
        count: usize,
        redis: bool,
    ) {
        if redis {
            return self.append(conn, |out| {
                encode::array_header(1 + count * units.step + units.trailing, out);
                encode::bulk(args.get(0), out);
            });
        }
        // The word between the command and the keys of gat and gats.
        let exptime = if units.first < 2 { None } else { Some(args.get(1)) };
        let (pool, server) = (self.conns[conn].pool, self.conns[conn].server);
        let bounded = exptime.and_then(|exptime| self.bounded(pool, server, exptime));
        self.append(conn, |out| {
            out.extend_from_slice(args.get(0));
            if let Some(exptime) = bounded.as_deref().or(exptime) {
                out.push(b' ');
                out.extend_from_slice(exptime);
            }
        });
    }

    /// The same bytes to every server of the pool. Answers the merge, which is gone if no server could be asked.
    pub(crate) fn send_to_all(&mut self, c: u32, how: How, write: impl Fn(&mut Vec<u8>)) -> u32 {
        let request = self.replies.ask(c, 0);
        self.send_for(c, request, how, write)
    }

    /// The same for a request that has its place already.
    pub(crate) fn send_for(&mut self, c: u32, request: u32, how: How, write: impl Fn(&mut Vec<u8>)) -> u32 {
        let pool = self.replies.clients[c].pool;
        let mut merge = self.fresh_merge(pool, request, how);
        let count = self.topology.pools[pool as usize].own as u32;
        merge.parts.extend((0..count).map(Part::new));
        merge.outstanding = count;
        let merge = self.merges.insert(merge);
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
        merge
    }
}

/// What one server gets of a split request.
#[derive(Debug)]
pub(crate) struct Share {
    /// Index of the server, or [`NONE`].
    pub(super) server: u32,
    /// How many units.
    pub(super) units: u32,
    /// The connection that they go out on, or why they cannot.
    pub(super) conn: Result<u32, Cause>,
}

/// How the keys of a request spread.
pub(super) enum Placed {
    /// All on one server, or on none.
    One(Option<u32>),
    /// On several.
    Many,
    /// On several, and their parts are filled.
    Divided(Box<Division>),
}
