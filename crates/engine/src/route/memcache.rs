//! Requests of memcached clients (classic text protocol).
//!
//! `noreply` never reaches a server: every forwarded request has exactly one reply, so an error that a
//! server sends despite it cannot be taken for somebody else's reply.

use crate::client::{Reading, Scan};
use crate::core::Core;
use crate::lane::OnLane;
use crate::merge::How;
use crate::request::Target;
use crate::server_conn::Care;
use stats::PoolMetric;
use wire::args::Args;
use wire::memcache::{Request, Scan as Found, Verb, encode};

/// twemproxy sends `version` to the server that owns this key.
const PLACEHOLDER: &[u8] = b"placeholder";

impl Core {
    /// Acts on every complete request in `bytes`; answers how many bytes are done with.
    pub(crate) fn take_memcache(&mut self, c: u32, bytes: &[u8], args: &mut Args) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            let client = &mut self.replies.clients[c];
            let view = &self.topology.pools[client.pool as usize];
            if matches!(client.reading, Reading::Quit(_)) {
                return bytes.len();
            }
            if client.may_wait(view) {
                if self.must_pause(c) {
                    break;
                }
                continue;
            }
            let Scan::Memcache(scan) = &mut client.scan else { break };
            match scan.scan(&bytes[used..], &view.limits, args) {
                Found::Complete(request) => {
                    if !self.memcache_request(c, &request, args, &bytes[used..used + request.len]) {
                        self.read_again(c, request.len, args);
                        break;
                    }
                    used += request.len;
                }
                Found::Partial => {
                    let (announced, here) = (scan.announced(), bytes.len() - used);
                    if self.is_large(c, announced, here) {
                        used += self.begin_memcache(c, &bytes[used..], args);
                    }
                    break;
                }
                Found::Refused { skip, refusal, noreply, key } => {
                    let key = key.map(|span| span.of(&bytes[used..]).to_vec());
                    self.refuse_memcache(c, refusal.text(), noreply, key);
                    let available = (bytes.len() - used) as u64;
                    used += skip.min(available) as usize;
                    self.replies.clients[c].swallow = skip.saturating_sub(available);
                }
                Found::Close(_) => {
                    self.count_client(c, PoolMetric::ProtocolErrors);
                    self.quit_client(c, true);
                    return bytes.len();
                }
            }
        }
        used
    }

    fn refuse_memcache(&mut self, c: u32, text: &'static [u8], noreply: bool, key: Option<Vec<u8>>) {
        self.count_client(c, PoolMetric::ClientRequests);
        let Some(key) = key else {
            if !noreply {
                self.answer_now(c, |out| {
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                });
            }
            return;
        };
        // A value too large for the proxy: memcached drops the old value then, so that one goes too.
        let pool = self.replies.clients[c].pool;
        let server = self.place(pool, &key);
        let target = match noreply {
            true => self.noreply(c),
            false => Target::Instead(self.replies.ask(c, 0), text),
        };
        self.forward_as(c, server, target, Care::default(), |out| encode::delete(&key, out));
        if self.view(c).detour {
            self.follow_write(pool, self.slot(c), &key, server);
        }
    }

    /// The target of a request that wants no reply.
    pub(crate) fn noreply(&mut self, c: u32) -> Target {
        self.replies.clients[c].noreplies += 1;
        Target::Noreply(self.replies.clients.id(c))
    }

    /// Acts on a request. `false`: it is to be read again when there is a connection for it, or is divided.
    #[inline(always)] // what else calls it seldom does
    pub(super) fn memcache_request(&mut self, c: u32, request: &Request, args: &Args, bytes: &[u8]) -> bool {
        let client = &self.replies.clients[c];
        let (pool, slot) = (client.pool, client.slot);
        self.count_pool(pool, PoolMetric::ClientRequests).add(1);
        let view = args.view(bytes);
        match request.verb {
            Verb::Quit => self.quit_client(c, false),
            Verb::Version => {
                let server = self.place(pool, PLACEHOLDER);
                let slot = self.replies.ask(c, bytes.len());
                self.forward_as(c, server, Target::Request(slot), Care::default(), |out| {
                    encode::forward(request, bytes, args, out)
                });
            }
            Verb::FlushAll | Verb::Verbosity if request.noreply => {
                self.flushed_elsewhere(c, request.verb);
                for server in 0..self.view(c).own as u32 {
                    if !self.view(c).servers[server as usize].live {
                        continue;
                    }
                    let target = self.noreply(c);
                    self.forward_as(c, Some(server), target, Care::default(), |out| {
                        encode::forward(request, bytes, args, out)
                    });
                }
            }
            Verb::FlushAll | Verb::Verbosity => {
                self.flushed_elsewhere(c, request.verb);
                _ = self.send_to_all(c, How::AllOk, |out| encode::forward(request, bytes, args, out));
            }
            Verb::Stats => {
                let how = if args.len() > 1 { How::StatsByServer } else { How::Stats };
                _ = self.send_to_all(c, how, |out| encode::forward(request, bytes, args, out));
            }
            _ if request.keys > 1 => return self.route_multiget(c, request, args, bytes),
            _ if self.topology.pools[pool as usize].detour => self.route_detour(c, request, args, bytes),
            _ => {
                let key = view.get(request.first_key as usize);
                let server = self.place(pool, key);
                let read = matches!(request.verb, Verb::Get | Verb::Gets);
                if read && self.large_keys.has(pool, key) {
                    let write = |out: &mut Vec<u8>| encode::forward(request, bytes, args, out);
                    match self.read_on_lane(c, server, bytes.len(), write) {
                        OnLane::Sent => return true,
                        OnLane::Later => return false,
                        OnLane::No => {}
                    }
                }
                let target = if request.noreply {
                    self.noreply(c)
                } else {
                    Target::Request(self.replies.ask(c, bytes.len()))
                };
                let care = Care { again: read, heeded: request.data.is_some(), skip: 0 };
                if request.verb == Verb::Get && self.topology.pools[pool as usize].join_gets {
                    self.forward_get((pool, slot), server, target, care, key);
                    return true;
                }
                let write = |out: &mut Vec<u8>| encode::forward(request, bytes, args, out);
                self.forward_on((pool, slot), server, target, care, write);
            }
        }
        true
    }
}
