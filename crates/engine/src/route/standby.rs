//! Requests of memcached clients while servers are away: how long keys live on a server that only stands by is bounded
//! on their way. (Redis is told behind the write: `away.rs`.)

use crate::core::Core;
use crate::request::Target;
use crate::server_conn::Care;
use wire::args::{ArgView, Args};
use wire::memcache::{Request, Verb, encode};

/// Above so many seconds an exptime is a time of day, counted since 1970 (memcached's `REALTIME_MAXDELTA`).
const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

impl Core {
    /// A request about one key, as long as a server is away.
    #[cold]
    pub(crate) fn route_detour(&mut self, c: u32, request: &Request, args: &Args, bytes: &[u8]) {
        let pool = self.replies.clients[c].pool;
        let key = args.get(request.first_key as usize, bytes);
        let server = self.place(pool, key);
        let read = matches!(request.verb, Verb::Get | Verb::Gets);
        let exptime = self.bounded_exptime(c, server, request, args.view(bytes));
        let target = match request.noreply {
            true => self.noreply(c),
            false => Target::Request(self.replies.ask(c, bytes.len())),
        };
        let care = Care { again: read, heeded: request.data.is_some(), skip: 0 };
        self.forward_as(c, server, target, care, |out| {
            encode::forward_until(request, bytes, args, exptime.as_deref(), out);
        });
        if !read {
            self.follow_write(pool, self.slot(c), key, server);
        }
    }

    /// The exptime to send instead of a request's own; nothing where its own will do.
    pub(crate) fn bounded_exptime(
        &self,
        c: u32,
        server: Option<u32>,
        request: &Request,
        args: ArgView<'_>,
    ) -> Option<Vec<u8>> {
        if !self.view(c).detour {
            return None;
        }
        let word = Verb::exptime_word(request.verb)?;
        self.bounded(self.replies.clients[c].pool, server?, args.get(word))
    }

    /// The same for the exptime alone.
    pub(crate) fn bounded(&self, pool: u32, server: u32, exptime: &[u8]) -> Option<Vec<u8>> {
        let view = &self.topology.pools[pool as usize];
        let standby = view.standby.as_ref().filter(|_| view.is_standby(server))?;
        // What is no number is memcached's to refuse.
        let asked: i64 = std::str::from_utf8(exptime).ok()?.parse().ok()?;
        let most = i64::try_from(standby.ttl_ms / 1000).unwrap_or(RELATIVE_MAX).clamp(1, RELATIVE_MAX);
        let now = i64::try_from(self.now.unix_us / 1_000_000).unwrap_or(i64::MAX);
        bound(asked, most, now).map(|seconds| seconds.to_string().into_bytes())
    }

    /// `flush_all` while servers are away.
    pub(crate) fn flushed_elsewhere(&mut self, c: u32, verb: Verb) {
        if verb == Verb::FlushAll && self.view(c).detour {
            self.follow_flush(self.replies.clients[c].pool, None);
        }
    }
}

/// The exptime that ends no later than `most` seconds from `now`; nothing where `asked` does.
fn bound(asked: i64, most: i64, now: i64) -> Option<i64> {
    let stays = match asked {
        ..0 => true,
        0 => false,
        1..=RELATIVE_MAX => asked <= most,
        _ => asked <= now.saturating_add(most),
    };
    if stays { None } else { Some(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_live_longer_lives_as_long_as_it_may() {
        let now = 1_700_000_000;
        for (asked, expected) in [
            (0, Some(10)),
            (-1, None),
            (i64::MIN, None),
            (1, None),
            (10, None),
            (11, Some(10)),
            (RELATIVE_MAX, Some(10)),
            (RELATIVE_MAX + 1, None),
            (now - 5, None),
            (now + 10, None),
            (now + 11, Some(10)),
            (i64::MAX, Some(10)),
        ] {
            assert_eq!(bound(asked, 10, now), expected, "{asked}");
        }
        assert_eq!(bound(i64::MAX, 10, i64::MAX), None, "a clock at its end overflows nothing");
    }
}
