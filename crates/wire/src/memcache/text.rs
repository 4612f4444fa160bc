//! Requests of memcached clients in the classic text protocol: a line of words, for storage commands with a
//! data block behind it.
//!
//! Whatever a server might refuse is refused here, since a server that refuses a storage command's line goes
//! on reading its data as commands. For the same reason a data block whose length is known is swallowed
//! together with a refused line. Where versions differ, short requests are answered as memcached 1.6.18 does.

use super::refusal::{CloseReason, Refusal};
use super::verb::{Shape, Verb};
use crate::args::{Args, Span};
use crate::limits::Limits;
use crate::scan;

/// A whole request that may be sent to a server. `args` says where its words lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The command.
    pub verb: Verb,
    /// Bytes of the line and the data block, line ends included.
    pub len: usize,
    /// Bytes of the line, its end included.
    pub line_end: usize,
    /// Which argument is the first key.
    pub first_key: u32,
    /// How many keys there are, one after another.
    pub keys: u32,
    /// The client wants no reply, not even an error.
    pub noreply: bool,
    /// The value of a storage command, without the CRLF behind it.
    pub data: Option<Span>,
    /// How many words a server needs to see; the rest is `noreply` and what memcached ignores.
    pub(crate) words: u32,
    /// The bytes can be sent as they came.
    pub(crate) as_is: bool,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole request.
    Complete(Request),
    /// The request has not ended yet.
    Partial,
    /// Answer the text, unless `noreply`, and go on behind the request. Nothing goes to a server, but see
    /// `key`.
    Refused {
        /// Bytes to drop from the start of the buffer; those beyond it are dropped as they come.
        skip: u64,
        /// Why.
        refusal: Refusal,
        /// The client wants no reply, not even this one.
        noreply: bool,
        /// The key of a `set` that is too large. memcached drops the old value then, so delete it.
        key: Option<Span>,
    },
    /// Close without a reply, after what was asked before.
    Close(CloseReason),
}

/// What the bytes so far amount to of a storage command whose beginning was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// So many bytes more and the request has ended.
    Complete(usize),
    /// So many bytes may be passed on; later buffers begin behind them.
    Partial(usize),
    /// So many bytes more and the request has ended, but not in CRLF: the data is not as long as was said.
    BadData(usize),
}

/// Where an unfinished request stands. Resets itself when the request ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestScan {
    /// Everything before this was searched for the line end in vain; with `total` set, the line end is here.
    looked: usize,
    /// Bytes of the whole request once its line is known to be good; zero before.
    total: usize,
}

impl RequestScan {
    /// Looks at `buf`, which starts with the request's first byte and holds everything received since.
    ///
    /// `args` holds the request's words after `Complete`, and nothing of use after anything else.
    #[inline]
    pub fn scan(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        args.clear();
        if self.looked == 0
            && let Some(request) = whole_get(buf, limits, args)
        {
            return Scan::Complete(request);
        }
        self.careful(buf, limits, args)
    }

    /// The same for a request in any form, whole or not.
    fn careful(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        args.clear();
        if self.total > buf.len() {
            return Scan::Partial;
        }
        let line_feed = if self.total > 0 { Ok(self.looked) } else { self.line_feed(buf, limits) };
        let seen = match line_feed {
            Ok(at) => self.line(buf, at, limits, args, true),
            Err(other) => other,
        };
        match seen {
            Scan::Partial => args.clear(),
            _ => *self = RequestScan::default(),
        }
        seen
    }

    /// After `Partial`: the request has at least so many bytes from the start of the buffer on.
    pub fn announced(&self) -> usize {
        self.total
    }

    /// After `Partial`: the storage command whose line is at the start of `buf`, with `args` its words and part of its
    /// data still to come; nothing while the line is unfinished.
    pub fn begun(&self, buf: &[u8], limits: &Limits, args: &mut Args) -> Option<Request> {
        args.clear();
        let line = buf.get(..=self.looked).filter(|_| self.total > 0)?;
        let mut whole = RequestScan::default();
        match whole.line(line, self.looked, limits, args, false) {
            Scan::Complete(request) => Some(request),
            _ => None,
        }
    }

    /// After [`begun`](Self::begun): the line, of so many bytes, was dealt with.
    pub fn pass_line(&mut self, line_end: usize) {
        self.total = self.total.saturating_sub(line_end);
    }

    /// Goes on with a storage command after [`pass_line`](Self::pass_line), letting its bytes pass instead of collecting them.
    /// `buf` starts behind what was passed on before.
    pub fn rest(&mut self, buf: &[u8]) -> Rest {
        if buf.len() < self.total {
            let count = buf.len().min(self.total.saturating_sub(2));
            self.total -= count;
            return Rest::Partial(count);
        }
        let len = std::mem::take(self).total;
        let whole = len.checked_sub(2).and_then(|end| scan::crlf(buf, end)) == Some(true);
        if whole { Rest::Complete(len) } else { Rest::BadData(len) }
    }

    /// Where the line's end is, or what to do without.
    #[inline]
    fn line_feed(&mut self, buf: &[u8], limits: &Limits) -> Result<usize, Scan> {
        // No command begins so, and a client of the binary protocol may never send a line feed.
        if buf.first() == Some(&0x80) {
            return Err(Scan::Close(CloseReason::Binary));
        }
        let found = scan::find(b'\n', buf, self.looked, buf.len());
        let line_bytes = found.unwrap_or(buf.len());
        // memcached decides when it has more than this without a line end, however much more.
        let too_long = match found {
            Some(_) => line_bytes > Limits::COMMAND_BYTES,
            None => buf.len() > Limits::COMMAND_BYTES,
        };
        if too_long && (line_bytes as u64 >= limits.request_cap() || !names_keys(buf)) {
            return Err(Scan::Close(CloseReason::LineTooLong));
        }
        found.ok_or_else(|| {
            self.looked = buf.len();
            Scan::Partial
        })
    }

    /// Looks at a line; with `look_at_data`, at the data block behind it too.
    fn line(
        &mut self,
        buf: &[u8],
        line_feed: usize,
        limits: &Limits,
        args: &mut Args,
        look_at_data: bool,
    ) -> Scan {
        let line = buf.get(..line_feed).unwrap_or(&[]);
        let line_end = line_feed + 1;
        let with_cr = line.last() == Some(&b'\r');
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !split(line, limits.args, args) {
            return refuse(line_end, Refusal::LineTooLong);
        }
        let Some(verb) = Verb::parse(args.get(0, buf)) else {
            return unknown(line, line_end, args);
        };
        let shape = verb.shape();
        let count = args.len();
        let last = args.get(count.saturating_sub(1), buf);
        let noreply = shape.noreply_from().is_some_and(|from| count > from) && last == b"noreply";
        let bytes = if shape.has_data() { data_bytes(args.get(4, buf)) } else { None };
        let skip = line_end as u64 + bytes.map_or(0, |bytes| bytes + 2);

        let (fewest, most) = shape.words();
        if count < fewest || count > most {
            return Scan::Refused { skip, refusal: Refusal::Unknown, noreply: false, key: None };
        }
        let words = match judge(verb, shape, line, args, noreply, bytes) {
            Ok(words) => words,
            Err(refusal) => return Scan::Refused { skip, refusal, noreply, key: None },
        };
        if bytes.is_some_and(|bytes| bytes > limits.value_bytes) || skip > limits.request_cap() {
            let key = if verb == Verb::Set { args.spans().get(1).copied() } else { None };
            return Scan::Refused { skip, refusal: Refusal::TooLarge, noreply, key };
        }
        // Below the cap, so it fits.
        let len = skip as usize;
        let mut data = None;
        if bytes.is_some() {
            if look_at_data && buf.len() < len {
                *self = RequestScan { looked: line_feed, total: len };
                return Scan::Partial;
            }
            if look_at_data && scan::crlf(buf, len - 2) != Some(true) {
                return Scan::Refused { skip, refusal: Refusal::BadData, noreply, key: None };
            }
            data = Some(Span { start: line_end as u32, end: (len - 2) as u32 });
        }
        let (first_key, keys) = match shape {
            Shape::Keys => (1, count - 1),
            Shape::TouchKeys => (2, count - 2),
            Shape::Flush | Shape::Level | Shape::Free => (1, 0),
            _ => (1, 1),
        };
        let at_start = args.spans().first().is_some_and(|word| word.start == 0);
        Scan::Complete(Request {
            verb,
            len,
            line_end,
            first_key,
            keys: keys as u32,
            noreply,
            data,
            words: words as u32,
            as_is: words == count && with_cr && at_start,
        })
    }
}

/// A `get` that is all there and written as clients write it, with `args` its words; nothing where it takes a closer look.
#[inline]
fn whole_get(buf: &[u8], limits: &Limits, args: &mut Args) -> Option<Request> {
    let buf = scan::within(buf, limits.request_cap());
    if !buf.starts_with(b"get ") {
        return None;
    }
    args.push(0, 3);
    let (mut at, mut end) = (4, 3);
    while buf[end] == b' ' {
        end = scan::word_end(buf, at)?;
        if end == at || end - at > Limits::KEY_BYTES || args.len() >= limits.args as usize {
            return None;
        }
        args.push(at, end);
        at = end + 1;
    }
    let words = args.len() as u32;
    let len = end + 2;
    (scan::crlf(buf, end) == Some(true)).then_some(Request {
        verb: Verb::Get,
        len,
        line_end: len,
        first_key: 1,
        keys: words - 1,
        noreply: false,
        data: None,
        words,
        as_is: true,
    })
}

/// Checks a line of the right number of words; answers how many of them a server needs to see.
fn judge(
    verb: Verb,
    shape: Shape,
    line: &[u8],
    args: &Args,
    noreply: bool,
    bytes: Option<u64>,
) -> Result<usize, Refusal> {
    let count = args.len();
    let word = |index| args.get(index, line);
    let key_bytes = |index: usize| args.spans().get(index).map_or(0, |key| key.end - key.start) as usize;
    let key_fits = key_bytes(1) <= Limits::KEY_BYTES;
    // Keys hold none, and no other word has a use for one.
    let clean = !scan::has_control(line);
    let check = |good: bool, refusal| if good { Ok(()) } else { Err(refusal) };
    match shape {
        Shape::Keys => {
            check(clean && keys_fit(args, 1), Refusal::BadFormat)?;
            Ok(count)
        }
        Shape::TouchKeys => {
            check(scan::signed(word(1)).is_some(), Refusal::BadExptime)?;
            check(count > 2, Refusal::Unknown)?;
            check(clean && keys_fit(args, 2), Refusal::BadFormat)?;
            Ok(count)
        }
        Shape::Store | Shape::StoreUnique => {
            let numbers = scan::unsigned(word(2)).is_some() && scan::signed(word(3)).is_some();
            let unique = shape == Shape::Store || scan::unsigned(word(5)).is_some();
            check(clean && key_fits && numbers && unique && bytes.is_some(), Refusal::BadFormat)?;
            Ok(if shape == Shape::Store { 5 } else { 6 })
        }
        Shape::Count => {
            check(clean && key_fits, Refusal::BadFormat)?;
            check(scan::unsigned(word(2)).is_some(), Refusal::BadDelta)?;
            Ok(3)
        }
        Shape::Touch => {
            check(clean && key_fits, Refusal::BadFormat)?;
            check(scan::signed(word(2)).is_some(), Refusal::BadExptime)?;
            Ok(3)
        }
        Shape::Delete => {
            let good = match count {
                2 => true,
                3 => noreply || word(2) == b"0",
                _ => noreply && word(2) == b"0",
            };
            check(good, Refusal::BadDelete)?;
            check(clean && key_fits, Refusal::BadFormat)?;
            Ok(2)
        }
        Shape::Flush => {
            let delayed = count > 1 + noreply as usize;
            check(!delayed || scan::signed(word(1)).is_some(), Refusal::BadExptime)?;
            Ok(if delayed { 2 } else { 1 })
        }
        Shape::Level => {
            check(scan::unsigned(word(1)).is_some(), Refusal::BadFormat)?;
            Ok(2)
        }
        Shape::Free => {
            check(clean, Refusal::BadFormat)?;
            // `version` and `quit` take no notice of what follows; `stats` does.
            Ok(if verb == Verb::Stats { count } else { 1 })
        }
    }
}

/// Fills `args` with the words of `line`; whether there were no more than `most`.
#[inline]
fn split(line: &[u8], most: u32, args: &mut Args) -> bool {
    scan::tally(line.len());
    let mut start = 0;
    for end in memchr::memchr_iter(b' ', line).chain(std::iter::once(line.len())) {
        if end > start {
            if args.len() >= most as usize {
                return false;
            }
            args.push(start, end);
        }
        start = end + 1;
    }
    true
}

/// Whether all keys from argument `first` on are short enough.
#[inline]
fn keys_fit(args: &Args, first: usize) -> bool {
    let keys = args.spans().get(first..).unwrap_or(&[]);
    keys.iter().all(|key| (key.end - key.start) as usize <= Limits::KEY_BYTES)
}

/// A `<bytes>` that memcached accepts.
#[inline]
fn data_bytes(text: &[u8]) -> Option<u64> {
    scan::unsigned(text).filter(|&bytes| bytes <= Limits::DATA_BYTES)
}

/// Whether an unfinished or over-long line is one of keys, which may be of any length.
fn names_keys(buf: &[u8]) -> bool {
    let blanks = buf.iter().take(Limits::LEADING_BLANKS + 1).take_while(|&&byte| byte == b' ').count();
    let rest = buf.get(blanks..).unwrap_or(&[]);
    blanks <= Limits::LEADING_BLANKS
        && [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|verb| rest.starts_with(verb))
}

#[cold]
fn unknown(line: &[u8], line_end: usize, args: &Args) -> Scan {
    let last = args.get(args.len().saturating_sub(1), line);
    if last.starts_with(b"HTTP/") {
        return Scan::Close(CloseReason::Http);
    }
    // The meta protocol's storage command has data behind it, too.
    let bytes = if args.get(0, line) == b"ms" { data_bytes(args.get(2, line)) } else { None };
    let skip = line_end as u64 + bytes.map_or(0, |bytes| bytes + 2);
    Scan::Refused { skip, refusal: Refusal::Unknown, noreply: false, key: None }
}

#[cold]
fn refuse(line_end: usize, refusal: Refusal) -> Scan {
    Scan::Refused { skip: line_end as u64, refusal, noreply: false, key: None }
}

const _: () = assert!(size_of::<RequestScan>() <= 48);
