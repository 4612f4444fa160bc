//! What may go wrong in a world, what did, and which error replies that explains.

use crate::rng::Rng;
use crate::setup::ERROR_TEXT;
use engine::error::Cause;

/// How often things go wrong, in a thousand: of connects, or of turns of a connection or client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Of connects: nobody listens, the name does not resolve, there is no way.
    pub(crate) no_connect: u32,
    /// Of connects: nothing is heard for long.
    pub(crate) hang: u32,
    /// Of a connection's turns: it breaks, whatever is on it.
    pub(crate) reset: u32,
    /// Of writes: the server has closed already.
    pub(crate) broken_pipe: u32,
    /// Of a connection's turns: the server neither reads nor answers for a while.
    pub(crate) stall: u32,
    /// Of answers: bytes that are no reply.
    pub(crate) garbage: u32,
    /// Of an idle connection's turns: a reply that nobody asked for.
    pub(crate) surplus: u32,
    /// Of answers: a reply of a kind that does not fit.
    pub(crate) wrong: u32,
    /// Of requests not yet whole at the server: refused before their end.
    pub(crate) early: u32,
    /// Of handshakes: refused.
    pub(crate) handshake: u32,
    /// Of ticks: servers are taken out or put back.
    pub(crate) flip: u32,
    /// Of ticks: a server leaves for a while, and returns as the control plane has it. Whoever does so in an orderly way
    /// never has a value revert; the other faults of such a world are those after which no write comes late.
    pub(crate) leave: u32,
    /// Of ticks: another worker found a server down.
    pub(crate) told_down: u32,
    /// Of an idle connection's turns: the server closes it. Must do no harm at all.
    pub(crate) idle_close: u32,
    /// Of replies in RESP3: news that nobody asked for before it. Must do no harm at all.
    pub(crate) push: u32,
    /// Of clients: gone with requests in flight.
    pub(crate) vanish: u32,
    /// Of a client's turns: does not read its replies for a while.
    pub(crate) slow_reader: u32,
}

impl Faults {
    /// Those that harm nobody but the client they come from: no error reply may come of them.
    fn harmless(rng: &mut Rng) -> Faults {
        let some = |rng: &mut Rng, most: u64| if rng.chance(500) { rng.range(1, most) as u32 } else { 0 };
        Faults {
            idle_close: some(rng, 60),
            push: some(rng, 100),
            vanish: some(rng, 300),
            slow_reader: some(rng, 100),
            ..Faults::default()
        }
    }

    /// Half of the worlds have harmless faults only, the others a few of the rest.
    pub(crate) fn draw(rng: &mut Rng) -> Faults {
        let mut faults = Faults::harmless(rng);
        if rng.chance(450) {
            return faults;
        }
        if rng.chance(200) {
            faults.leave = rng.range(3, 30) as u32;
            let often = rng.range(1, 30) as u32;
            match rng.below(6) {
                0 => faults.no_connect = often * 5,
                1 => faults.hang = often * 5,
                2 => faults.reset = often,
                3 => faults.broken_pipe = often,
                _ => {}
            }
            return faults;
        }
        for _ in 0..rng.range(1, 4) {
            let often = rng.range(1, 40) as u32;
            match rng.below(13) {
                0 => faults.no_connect = often * 10,
                1 => faults.hang = often * 5,
                2 | 3 => faults.reset = often,
                4 => faults.broken_pipe = often,
                5 | 6 => faults.stall = often,
                7 => faults.garbage = often,
                8 => faults.surplus = often,
                9 => faults.wrong = often,
                10 => faults.early = often * 5,
                11 => faults.told_down = often,
                _ if rng.chance(500) => faults.handshake = often * 5,
                _ => faults.flip = often,
            }
        }
        faults
    }

    /// Whether every reply can be foretold to the byte.
    pub(crate) fn none_harmful(&self) -> bool {
        let harmless = Faults {
            idle_close: self.idle_close,
            push: self.push,
            vanish: self.vanish,
            slow_reader: self.slow_reader,
            ..Faults::default()
        };
        format!("{self:?}") == format!("{harmless:?}")
    }
}

/// Why a client may read an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The proxy tells this cause.
    Cause(Cause),
    /// The server refused a request before it was whole.
    Early,
    /// The server answered something that does not fit.
    Wrong,
}

/// Refusals before a request's end, as the client reads them.
pub(crate) const EARLY: &str = "early refusal";

#[derive(Debug)]
struct Entry {
    pool: usize,
    server: usize,
    why: Why,
    from: u64,
    until: u64,
}

/// What went wrong, where and when.
#[derive(Debug, Default)]
pub(crate) struct FaultLog {
    entries: Vec<Entry>,
}

impl FaultLog {
    /// Notes a fault and when it is over; answers its number.
    pub(crate) fn add(&mut self, pool: usize, server: usize, why: Why, (from, until): (u64, u64)) -> usize {
        self.entries.push(Entry { pool, server, why, from, until });
        self.entries.len() - 1
    }

    /// A fault whose end was not known is over.
    pub(crate) fn end(&mut self, number: usize, now: u64) {
        self.entries[number].until = now;
    }

    /// Whether anything that `fits` went wrong with one of `servers` between the two times.
    pub(crate) fn any(
        &self,
        pool: usize,
        servers: &[usize],
        (from, to): (u64, u64),
        fits: impl Fn(Why) -> bool,
    ) -> bool {
        self.entries.iter().any(|entry| {
            entry.pool == pool
                && servers.contains(&entry.server)
                && fits(entry.why)
                && entry.from <= to
                && entry.until >= from
        })
    }
}

/// The reasons that an error's text, without its code, may have. Nothing for a text that is no fault's.
pub(crate) fn reasons(text: &str) -> Vec<Why> {
    const CAUSES: [Cause; 9] = [
        Cause::Refused,
        Cause::TimedOut,
        Cause::Reset,
        Cause::Closed,
        Cause::BrokenPipe,
        Cause::HostDown,
        Cause::Unreachable,
        Cause::InvalidReply,
        Cause::Drained,
    ];
    // What follows a merged reply's first error.
    let text = match text.strip_suffix(" servers failed)").and_then(|text| text.rsplit_once(" (")) {
        Some((text, _)) => text,
        None => text,
    };
    let unasked = text == ERROR_TEXT;
    let mut found: Vec<Why> =
        CAUSES.iter().filter(|cause| unasked || cause.text() == text).map(|c| Why::Cause(*c)).collect();
    if text == Cause::InvalidReply.text() || text == "the servers of this pool gave different answers" {
        found.push(Why::Wrong);
    }
    if text.starts_with("server 's") && text.contains("refused the proxy's ") {
        found.push(Why::Cause(Cause::HandshakeRefused));
    }
    if text == EARLY {
        found.push(Why::Early);
    }
    found
}
