//! Gets that go to a memcached server as one, and how its one reply is shared out.
//!
//! ```text
//!   clients ask:   get a    get b    get c             in one tick, or while they wait to leave
//!   stream:        get a b c\r\n                       queue: [a, first of 3] [b] [c]
//!   reply:         VALUE a .. VALUE c .. END           to a and c their values; at END, all others have missed
//!
//!   of get a d e, with e elsewhere:  get a d\r\n       part of a merge: it has all its values at END
//! ```
//! memcached writes the reply to every get by a call of its own, which takes it longer than the get, and wakes the proxy
//! as often; to a get of many keys it writes once. A reply's values may come in any order. No key is asked twice in one
//! request: a server might answer it once.

use crate::core::Core;
use crate::limits::{JOINED_KEYS, JOINED_LINE_BYTES};
use crate::request::Target;
use crate::server_conn::{Answered, Care, InFlight, Scan, ServerConn};
use stats::{Latency, ServerMetric};
use std::borrow::Cow;
use wire::limits::Limits;
use wire::memcache::{self, KEY_AT, Piece, Verb, encode};

/// [`InFlight::joined`] of a request on its own. Of the first of several it is how many they are.
pub(crate) const NOT_JOINED: u8 = 0;
/// That of all but the first.
const JOINED: u8 = u8::MAX - 1;
/// That of one that is answered, while earlier ones of the same line are not.
const ANSWERED: u8 = u8::MAX;

const _: () = assert!(JOINED_KEYS < JOINED);

const LINE_END: usize = b"\r\n".len();
const END: &[u8] = b"END\r\n";

/// A connection's side of it.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// Stream position behind the line that takes another key; 0 while there is none.
    end: u64,
    /// Where it begins.
    start: u64,
    /// Of how many requests it is.
    requests: u8,
    /// How many keys it has.
    keys: u8,
    /// A bit for each of them.
    seen: Spots,
    /// How many lines of several keys are in the queue, with the one that is being answered.
    lines: u32,
    /// The one that is being answered.
    open: Option<Open>,
}

/// A line of several keys whose reply is being read.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// How many of its requests are at the queue's front.
    left: u8,
    /// Which of them the next value is for, if all have one.
    at: u8,
    /// Where among its keys the next value's begins then.
    from: u16,
}

#[inline(always)]
fn mix(hash: u64, eight: [u8; 8]) -> u64 {
    (hash.rotate_left(29) ^ u64::from_le_bytes(eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Joining {
    /// The line at the stream's end takes no more keys.
    #[inline]
    pub(crate) fn close(&mut self) {
        self.end = 0;
    }

    /// Whether a reply is read of which more is to come.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The first request of the line that is being answered has left the queue.
    #[inline]
    pub(crate) fn took_first(&mut self) {
        if let Some(open) = &mut self.open {
            open.left = open.left.saturating_sub(1);
            open.at = open.at.saturating_sub(1);
            open.from = 0;
        }
    }

    /// Whole lines are out of the queue's end.
    pub(crate) fn forget<'a>(&mut self, taken: impl IntoIterator<Item = &'a InFlight>) {
        let lines = taken.into_iter().filter(|entry| (1..JOINED).contains(&entry.joined)).count();
        self.lines = self.lines.saturating_sub(lines as u32);
    }
}

/// Keys, as one bit for each: who has none of another's bits has none of its keys.
type Spots = [u64; 8];

/// Adds a key.
#[inline]
fn note(spots: &mut Spots, key: &[u8]) {
    let (eights, tail) = key.as_chunks::<8>();
    let mut hash = key.len() as u64;
    for eight in eights {
        hash = mix(hash, *eight);
    }
    let mut last = [0; 8];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    let hash = mix(hash, last);
    spots[(hash >> 61) as usize] |= 1 << (hash >> 55 & 63);
}

impl InFlight {
    /// Whether it is answered and only waits for earlier ones of its line to leave the queue.
    pub(crate) fn is_answered(&self) -> bool {
        self.joined == ANSWERED
    }
}

impl ServerConn {
    /// Whether the next that the server says is about several requests at once.
    #[inline]
    pub(crate) fn answers_joined(&self) -> bool {
        // Of a large reply that is being passed on, the request has left the queue.
        let next = || self.flow.is_none() && self.queue.front().is_some_and(|next| next.joined != NOT_JOINED);
        self.joining.lines > 0 && (self.joining.is_open() || next())
    }

    /// What was queued last is `get` and so many keys: more may follow in its line.
    #[inline]
    fn begin_line(&mut self, keys: usize, seen: Spots) {
        let start = self.queue.back().map_or(self.whole, |entry| entry.start);
        let keys = u8::try_from(keys).unwrap_or(u8::MAX);
        let Joining { lines, open, .. } = self.joining;
        self.joining = Joining { end: self.whole, start, requests: 1, keys, seen, lines, open };
    }

    /// Adds so many keys, of so many bytes, to the stream's last line, if it may take them and none of its end has left.
    #[inline]
    fn takes_keys(&mut self, keys: usize, bytes: usize, spots: &Spots) -> bool {
        let joining = &mut self.joining;
        let all = keys.saturating_add(joining.keys.into());
        let fits = joining.end == self.whole
            && all <= usize::from(JOINED_KEYS)
            && self.whole - joining.start + (bytes as u64) < JOINED_LINE_BYTES
            && self.stream.written() + LINE_END as u64 <= self.whole
            && joining.seen.iter().zip(spots).all(|(seen, spot)| seen & spot == 0);
        if fits {
            joining.keys = all as u8;
            joining.seen.iter_mut().zip(spots).for_each(|(seen, spot)| *seen |= spot);
        }
        fits
    }

    /// What was appended in the place of a line's end are more keys of it: like [`ServerConn::queue_up`].
    #[inline]
    fn queue_keys(&mut self, target: Target, care: Care, at_us: u64) -> u64 {
        let before = std::mem::replace(&mut self.whole, self.stream.end());
        self.joining.end = self.whole;
        let first = self.queue.len().saturating_sub(self.joining.requests.into());
        self.joining.requests += 1;
        self.joining.lines += u32::from(self.joining.requests == 2);
        if let Some(first) = self.queue.get_mut(first) {
            first.joined = self.joining.requests;
        }
        self.queue.push_back(InFlight {
            target,
            start: before - LINE_END as u64,
            at_us,
            care,
            joined: JOINED,
        });
        self.unsent += 1;
        self.whole - before
    }

    /// The first place in the queue from `index` on that is not in the middle of a line.
    pub(crate) fn end_of_joined(&self, mut index: usize) -> usize {
        while self.queue.get(index).is_some_and(|entry| entry.joined >= JOINED) {
            index += 1;
        }
        index
    }

    /// A request whose bytes end at the stream position `end`, as it is asked on its own.
    pub(crate) fn asked(&self, entry: &InFlight, end: u64) -> Cow<'_, [u8]> {
        let bytes = self.stream.between(entry.start, end);
        if entry.joined == NOT_JOINED {
            return Cow::Borrowed(bytes);
        }
        let mut alone = Vec::new();
        encode::multiget(Verb::Get, None, [keys_of(bytes)], &mut alone);
        Cow::Owned(alone)
    }

    /// For which place of the queue the value is that begins `bytes`, of the line that is being answered, and whether it is
    /// all that is waited for there.
    pub(crate) fn joined_owner(&self, bytes: &[u8]) -> Option<(usize, bool)> {
        let key = bytes.get(KEY_AT..)?;
        let key = key.get(..key.iter().position(|byte| *byte == b' ')?)?;
        let (place, wait) = self.find_joined(self.joining.open?, key)?;
        Some((place, wait == Wait::Only))
    }

    /// The place of the queue whose reply has begun and not ended.
    pub(crate) fn torn_place(&self) -> Option<usize> {
        match self.joining.is_open() {
            _ if self.flow.is_some() || self.rest.is_empty() => None,
            true => self.joined_owner(&self.rest).map(|(place, _)| place),
            false => Some(0),
        }
    }

    /// Whether the request at a place of the queue, one of a line, waits for this key, which may be where its keys are
    /// read on `from`.
    #[inline]
    fn waits_for(&self, place: usize, key: &[u8], from: u16) -> Option<Wait> {
        let entry = self.queue.get(place)?;
        let end = self.queue.get(place + 1).map_or(self.whole, |next| next.start);
        if entry.joined == ANSWERED || entry.start >= self.stream.written() {
            return None;
        }
        let keys = keys_of(self.stream.between(entry.start, end));
        if keys.len() <= key.len() {
            return (keys == key).then_some(Wait::Only);
        }
        if let Some(next) = behind(keys, from, key) {
            return Some(Wait::Also(next));
        }
        let mut at = 0;
        for other in keys.split(|byte| *byte == b' ') {
            if other == key {
                return Some(Wait::Also((at + key.len() + 1) as u16));
            }
            at += other.len() + 1;
        }
        None
    }

    /// The values at the start of `bytes` that are for the request at a place, for its keys `from` there on in their order:
    /// how long they are together, and where the key behind them begins.
    #[inline]
    fn more_values(&self, place: usize, mut from: u16, bytes: &[u8], limits: &Limits) -> (usize, u16) {
        let Some(entry) = self.queue.get(place) else { return (0, from) };
        let end = self.queue.get(place + 1).map_or(self.whole, |next| next.start);
        let keys = keys_of(self.stream.between(entry.start, end));
        let mut len = 0;
        while let Some((key_end, value)) = memcache::whole_value(&bytes[len..], limits)
            && let Some(next) = behind(keys, from, &bytes[len + KEY_AT..len + key_end])
        {
            (len, from) = (len + value, next);
        }
        (len, from)
    }

    /// The reply to a line of several keys begins, if it has not.
    #[inline]
    fn open_joined(&mut self) -> Open {
        if let Some(open) = self.joining.open {
            return open;
        }
        let open = Open { left: self.queue.front().map_or(0, |first| first.joined), at: 0, from: 0 };
        self.joining.open = Some(open);
        if usize::from(open.left) >= self.queue.len() {
            self.joining.close(); // were its end not out yet, it is not for another key any more
        }
        open
    }

    /// Which place of the queue waits for this key.
    #[inline]
    fn find_joined(&self, open: Open, key: &[u8]) -> Option<(usize, Wait)> {
        let at = |place: u8| Some((place.into(), self.waits_for(place.into(), key, 0)?));
        if open.at < open.left
            && let Some(wait) = self.waits_for(open.at.into(), key, open.from)
        {
            return Some((open.at.into(), wait)); // as nearly always
        }
        (open.at..open.left).chain(0..open.at).find_map(at)
    }
}

/// What a value is to the request that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// All.
    Only,
    /// One of several; where among their keys the next begins.
    Also(u16),
}

/// The keys of a get, with blanks between them, of which `get`, or the line's end, may be another's.
#[inline]
fn keys_of(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    bytes.strip_prefix(b"get ").or_else(|| bytes.strip_prefix(b" ")).unwrap_or(bytes)
}

/// If `key` is the one that begins at `from` among `keys`: where the one behind it does.
#[inline]
fn behind(keys: &[u8], from: u16, key: &[u8]) -> Option<u16> {
    let behind = keys.get(from.into()..)?.strip_prefix(key)?;
    matches!(behind.first(), None | Some(b' ')).then(|| (usize::from(from) + key.len() + 1) as u16)
}

impl Core {
    /// Sends `get key`: with those that wait to leave for the same server, if it can.
    pub(crate) fn forward_get(
        &mut self,
        (pool, slot): (u32, u32),
        server: Option<u32>,
        target: Target,
        care: Care,
        key: &[u8],
    ) {
        let Some(s) = self.conn_or_fail((pool, slot), server, target) else { return };
        let conn = &mut self.conns[s];
        let mut spots = Spots::default();
        note(&mut spots, key);
        if self.held_still || !conn.takes_keys(1, key.len(), &spots) {
            self.send(s, target, care, |out| encode::multiget(Verb::Get, None, [key], out));
            return self.conns[s].begin_line(1, spots);
        }
        conn.stream.shorten(LINE_END);
        let out = conn.stream.buffer(&mut self.replies.buffers);
        encode::multiget_key(key, out);
        encode::multiget_end(out);
        let bytes = conn.queue_keys(target, care, self.now.mono_us);
        self.queued_up(s, target, bytes);
    }

    /// What was appended to a connection is a whole `get`, a part of a split one: it goes with those that wait to leave,
    /// if it can.
    pub(crate) fn join_part(&mut self, s: u32, target: Target, care: Care) {
        let conn = &mut self.conns[s];
        let line = conn.stream.between(conn.whole, conn.stream.end());
        let (bytes, mut keys, mut spots) = (line.len(), 0, Spots::default());
        for key in keys_of(line).split(|byte| *byte == b' ') {
            note(&mut spots, key);
            keys += 1;
        }
        if self.held_still || !conn.takes_keys(keys, bytes, &spots) {
            self.queued(s, target, care);
            return self.conns[s].begin_line(keys, spots);
        }
        // The end of the line before it, and its own `get`.
        conn.stream.cut(conn.whole - LINE_END as u64, LINE_END + Verb::Get.name().len());
        let bytes = conn.queue_keys(target, care, self.now.mono_us);
        self.queued_up(s, target, bytes);
    }

    /// Acts on the first piece of a reply to several gets, a value or what ends it, at the start of `bytes`; answers how
    /// long it is, or 0 when it is not all there. Nothing when the connection is gone.
    pub(crate) fn take_joined(&mut self, s: u32, bytes: &[u8]) -> Option<usize> {
        let conn = &mut self.conns[s];
        let open = conn.open_joined();
        let limits = &self.topology.pools[conn.pool as usize].limits;
        let piece = match &mut conn.scan {
            Scan::Memcache(scan) => scan.piece(bytes, limits),
            Scan::Resp(_) | Scan::Feed(_) => return self.lose_nonsense(s),
        };
        match piece {
            Piece::Partial => Some(0),
            Piece::Value { len, .. } if conn.flow.is_some() => {
                let last = [&bytes[..len], END].concat();
                self.end_flow(s, &last);
                Some(len)
            }
            Piece::Value { len, key_end } => {
                let key = bytes.get(KEY_AT..key_end).unwrap_or(&[]);
                let Some((place, wait)) = conn.find_joined(open, key) else { return self.lose_nonsense(s) };
                match wait {
                    Wait::Only => {
                        self.take_value(s, place, &bytes[..len]);
                        Some(len)
                    }
                    Wait::Also(next) => {
                        let (more, next) = conn.more_values(place, next, &bytes[len..], limits);
                        self.take_some_values(s, place, next, &bytes[..len + more])?;
                        Some(len + more)
                    }
                }
            }
            Piece::Last { len } if conn.flow.is_none() => {
                self.end_joined(s, open.left, &bytes[..len])?;
                Some(len)
            }
            Piece::Last { .. } | Piece::Invalid(_) => self.lose_nonsense(s),
        }
    }

    /// A value for the request at a place of the queue.
    #[inline]
    fn take_value(&mut self, s: u32, place: usize, value: &[u8]) {
        if let Some((answered, latency)) = self.take_answered(s, place) {
            self.give(s, &answered, latency, [value, END]);
        }
    }

    /// The request at a place of the queue is answered: what it was, and how long that took.
    #[inline]
    pub(crate) fn take_answered(&mut self, s: u32, place: usize) -> Option<(Answered, Latency)> {
        if place > 0 {
            return self.take_early(s, place);
        }
        let conn = &mut self.conns[s];
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        let answered = conn.take_front()?;
        conn.joining.took_first();
        let latency = self.note_answer(pool, server, &answered, true);
        Some((answered, latency))
    }

    /// The same while earlier requests of the line wait: it stays in the queue.
    #[cold]
    fn take_early(&mut self, s: u32, place: usize) -> Option<(Answered, Latency)> {
        let conn = &mut self.conns[s];
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        let late = place < conn.expired;
        if let Some(open) = &mut conn.joining.open {
            (open.at, open.from) = (place as u8 + 1, 0);
        }
        conn.replies += 1;
        let waiting = conn.queue.get_mut(place)?;
        let entry = *waiting;
        (waiting.target, waiting.joined, waiting.care.again) = (Target::Nobody, ANSWERED, false);
        let latency = Latency::of_us(self.now.mono_us.saturating_sub(entry.at_us));
        if !late {
            self.shard.server_shard(pool, server).latency.record(latency);
        }
        Some((Answered { entry, bytes: 0, unsent: false, late }, latency))
    }

    /// Values for a request of several keys, which has them all at the end. Nothing when they are too much.
    fn take_some_values(&mut self, s: u32, place: usize, next: u16, values: &[u8]) -> Option<()> {
        let conn = &mut self.conns[s];
        if let Some(open) = &mut conn.joining.open {
            (open.at, open.from) = (place as u8, next);
        }
        let Some(Target::Part { merge, part }) = conn.queue.get(place).map(|entry| entry.target) else {
            return Some(()); // given up, or asked again elsewhere
        };
        let most = self.topology.pools[conn.pool as usize].limits.reply_bytes;
        self.count_server(s, ServerMetric::ResponseBytes).add(values.len() as u64);
        if self.add_to_part(merge, part, &[values]) as u64 > most {
            return self.lose_nonsense(s);
        }
        Some(())
    }

    /// The end of a reply to several gets: whoever has no value by now reads `last`, that there is none or why.
    fn end_joined(&mut self, s: u32, left: u8, last: &[u8]) -> Option<()> {
        let conn = &mut self.conns[s];
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        // A server may refuse a line before its last byte is out, but not before its first.
        let unsent = |first: &InFlight| first.joined < JOINED && first.start >= conn.stream.written();
        if left > 0 && conn.queue.front().is_none_or(unsent) {
            return self.lose_nonsense(s);
        }
        let serves = conn.replies > 0 || !self.is_turned_away(pool, server, last);
        for _ in 0..left {
            let conn = &mut self.conns[s];
            let Some(answered) = conn.take_front() else { break };
            conn.joining.took_first();
            if answered.entry.joined == ANSWERED {
                answered.count(self.shard.server_shard(pool, server));
                continue;
            }
            let latency = self.note_answer(pool, server, &answered, serves);
            self.give(s, &answered, latency, [last, b""]);
        }
        let joining = &mut self.conns[s].joining;
        joining.open = None;
        joining.lines = joining.lines.saturating_sub(1);
        Some(())
    }

    /// Gives one of several gets its reply.
    #[inline]
    fn give(&mut self, s: u32, answered: &Answered, latency: Latency, reply: [&[u8]; 2]) {
        let Answered { entry, late, .. } = *answered;
        let conn = &self.conns[s];
        let lane = conn.lane && conn.queue.front().is_none_or(|next| next.start > entry.start);
        let shard = self.shard.pool_shard(conn.pool as usize);
        let counters = &shard.servers()[conn.server as usize];
        match entry.target {
            Target::Request(request) => {
                counters.counter(ServerMetric::Responses).add(1);
                counters.counter(ServerMetric::ResponseBytes).add(reply[0].len() as u64);
                shard.latency.record(latency);
                if lane {
                    self.forget_key(s, entry);
                }
                let bytes = reply[0].len() + reply[1].len();
                self.replies.answer_with(request, bytes, |out| {
                    out.extend_from_slice(reply[0]);
                    out.extend_from_slice(reply[1]);
                });
            }
            Target::Part { merge, part } => {
                counters.counter(ServerMetric::Responses).add(1);
                counters.counter(ServerMetric::ResponseBytes).add(reply[0].len() as u64);
                self.add_to_part(merge, part, &reply);
                self.part_is_here(merge, part);
            }
            _ if late => counters.counter(ServerMetric::LateReplies).add(1),
            // Given up, or asked again elsewhere: nothing else is ever joined.
            _ => {}
        }
    }
}
