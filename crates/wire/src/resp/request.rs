//! Requests of redis clients: `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`, or the same inline: `GET k\r\n`.
//!
//! Follows redis 7 (`processMultibulkBuffer`, `processInlineBuffer`), its texts included, and is stricter in
//! one point: redis skips the two bytes after a length line or an argument without looking; here they must
//! be CRLF, so that no two readers of one stream can disagree about where a request ends.

use std::borrow::Cow;

use super::inline;
use crate::args::Args;
use crate::limits::Limits;
use crate::scan;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole request; `args` says where its arguments lie.
    Complete {
        /// Bytes of the request in the buffer.
        len: usize,
        /// It came inline: the arguments lie in [`Args::canonical`], and that is what to send on.
        inline: bool,
    },
    /// Nothing was asked and nothing is to be answered: `*0`, `*-1` or a blank line.
    Empty {
        /// Bytes to drop.
        len: usize,
    },
    /// The request has not ended yet.
    Partial,
    /// Not RESP. Answer with the error, after what was asked before, and close.
    Invalid(ProtocolError),
}

/// Where an unfinished request stands. Resets itself when the request ends.
#[derive(Debug, Default)]
pub struct RequestScan {
    stage: Stage,
    /// Arguments not yet complete.
    due: u32,
    /// `Length`: where its line begins. `Data`: where the argument ends. May lie beyond the buffer.
    at: usize,
    /// Everything before this was searched for a line end in vain.
    looked: usize,
    /// Bytes of the request that came before the buffer and were passed on.
    passed: u64,
    /// The arguments so far, where they are so many that finding them anew would take long.
    kept: Option<Box<Args>>,
}

/// With so many arguments due those that are complete are kept.
const KEPT_FROM: u32 = 1 << 10;

/// What the bytes so far amount to of a request whose beginning was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// So many bytes more and the request has ended.
    Complete(usize),
    /// So many bytes may be passed on; later buffers begin behind them.
    Partial(usize),
    /// Not RESP.
    Invalid(ProtocolError),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// In the first line.
    #[default]
    Start,
    /// In an argument's length line.
    Length,
    /// In an argument, or in the line end after it.
    Data,
}

/// A length line: its number and where the next one begins, or why there is none.
enum Line {
    Is(i64, usize),
    Partial,
    TooLong,
    Bad,
}

impl RequestScan {
    /// Looks at `buf`, which starts with the request's first byte and holds everything received since.
    ///
    /// `args` holds the request's arguments after `Complete`, and nothing of use after anything else.
    #[inline]
    pub fn scan(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        args.clear();
        if self.stage == Stage::Start
            && self.looked == 0
            && let Some(len) = whole(buf, limits, args)
        {
            return Scan::Complete { len, inline: false };
        }
        self.careful(buf, limits, args)
    }

    /// The same for a request in any form, whole or not.
    fn careful(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        args.clear();
        let begins = self.stage == Stage::Start;
        let seen = match self.stage {
            Stage::Start => self.start(buf, limits, args),
            Stage::Length | Stage::Data => match self.kept.take() {
                Some(mut kept) => {
                    let seen = self.arguments::<true>(buf, limits, &mut kept);
                    match seen {
                        Scan::Partial => self.kept = Some(kept),
                        _ => std::mem::swap(args, &mut kept),
                    }
                    seen
                }
                // Find the end by the remembered state, then take the arguments from the whole request.
                None => match self.arguments::<false>(buf, limits, args) {
                    Scan::Complete { .. } => {
                        *self = RequestScan::default();
                        return self.scan(buf, limits, args);
                    }
                    other => other,
                },
            },
        };
        match seen {
            Scan::Partial if begins && self.due >= KEPT_FROM => {
                self.kept = Some(Box::new(std::mem::take(args)));
            }
            Scan::Partial => args.clear(),
            _ => *self = RequestScan::default(),
        }
        seen
    }

    /// Gives that room back. What was begun will not be finished.
    pub fn forget(&mut self) {
        self.kept = None;
    }

    /// Bytes of room that it holds.
    pub fn room(&self) -> usize {
        self.kept.as_ref().map_or(0, |args| args.room())
    }

    /// After `Partial`: the request has at least so many bytes from the start of the buffer on.
    pub fn announced(&self) -> usize {
        self.at
    }

    /// The first arguments of the unfinished request at the start of `buf`, as far as they are whole and at most
    /// `most`, into `args`. Answers how many the request has in all; nothing for one that is not in this form.
    pub fn begun(buf: &[u8], most: usize, args: &mut Args) -> Option<usize> {
        args.clear();
        let (count, mut at) = scan::length(buf, 1).filter(|_| buf.first() == Some(&b'*'))?;
        while args.len() < most.min(usize::try_from(count).ok()?) {
            let Some((length, start)) = scan::length(buf, at + 1) else { break };
            let end = usize::try_from(length).ok()?.checked_add(start)?;
            if scan::crlf(buf, end) != Some(true) {
                break;
            }
            args.push(start, end);
            at = end + 2;
        }
        usize::try_from(count).ok()
    }

    /// Goes on with a request after `scan` said `Partial`, letting its bytes pass instead of collecting them. `buf`
    /// starts behind what was passed on before.
    pub fn rest(&mut self, buf: &[u8], limits: &Limits) -> Rest {
        self.kept = None;
        match self.arguments::<false>(buf, limits, &mut Args::default()) {
            Scan::Complete { len, .. } => {
                *self = RequestScan::default();
                Rest::Complete(len)
            }
            Scan::Invalid(error) => {
                *self = RequestScan::default();
                Rest::Invalid(error)
            }
            Scan::Partial | Scan::Empty { .. } => {
                let count = self.at.min(buf.len());
                self.at -= count;
                self.looked = self.looked.saturating_sub(count);
                self.passed = self.passed.saturating_add(count as u64);
                Rest::Partial(count)
            }
        }
    }

    fn start(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        match buf.first() {
            None => return Scan::Partial,
            Some(b'*') => {}
            Some(_) => return self.inline(buf, limits, args),
        }
        let (count, next) = match self.length_line(buf, 0, limits) {
            Line::Is(count, next) => (count, next),
            Line::Partial => return Scan::Partial,
            Line::TooLong => return Scan::Invalid(ProtocolError::CountTooLong),
            Line::Bad => return Scan::Invalid(ProtocolError::MultibulkLength),
        };
        if count <= 0 {
            return Scan::Empty { len: next };
        }
        self.due = match u32::try_from(count) {
            Ok(due) if due <= limits.args => due,
            _ => return Scan::Invalid(ProtocolError::MultibulkLength),
        };
        self.at = next;
        self.stage = Stage::Length;
        self.arguments::<true>(buf, limits, args)
    }

    /// Goes on with the arguments from wherever the state stands; `FILL` when that is the first one.
    #[inline]
    fn arguments<const FILL: bool>(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        let cap = limits.request_cap();
        while self.due > 0 {
            if self.stage == Stage::Length {
                let line = self.length_line(buf, self.at, limits);
                if let Line::Is(..) | Line::Bad = line
                    && let Some(&byte) = buf.get(self.at)
                    && byte != b'$'
                {
                    return Scan::Invalid(ProtocolError::ExpectedDollar(byte));
                }
                let (length, start) = match line {
                    Line::Is(length, start) => (length, start),
                    Line::Partial => return Scan::Partial,
                    Line::TooLong => return Scan::Invalid(ProtocolError::LengthTooLong),
                    Line::Bad => return Scan::Invalid(ProtocolError::BulkLength),
                };
                let length = match u64::try_from(length) {
                    Ok(length) if length <= limits.bulk_bytes => length,
                    _ => return Scan::Invalid(ProtocolError::BulkLength),
                };
                // All three are far below 2^63, so this cannot overflow; below the cap it fits a span.
                let end = start as u64 + length;
                if end + 2 + self.passed > cap {
                    return Scan::Invalid(ProtocolError::RequestTooBig);
                }
                if FILL {
                    args.push(start, end as usize);
                }
                self.at = end as usize;
                self.stage = Stage::Data;
            }
            match scan::crlf(buf, self.at) {
                None => return Scan::Partial,
                Some(false) => return Scan::Invalid(ProtocolError::BulkEnd),
                Some(true) => {}
            }
            self.at += 2;
            self.due -= 1;
            self.stage = Stage::Length;
        }
        Scan::Complete { len: self.at, inline: false }
    }

    #[inline]
    fn length_line(&mut self, buf: &[u8], at: usize, limits: &Limits) -> Line {
        match scan::length(buf, at + 1) {
            Some((number, next)) => Line::Is(number as i64, next),
            None => self.odd_length_line(buf, at, limits),
        }
    }

    /// A length line that is unfinished, negative or wrong. As in redis, only its end decides.
    #[cold]
    fn odd_length_line(&mut self, buf: &[u8], at: usize, limits: &Limits) -> Line {
        let stop = at.saturating_add(limits.inline_bytes as usize).saturating_add(1);
        let from = self.looked.max(at);
        let Some(end) = scan::find(b'\r', buf, from, stop) else {
            self.looked = buf.len().max(from);
            return if buf.len() >= stop { Line::TooLong } else { Line::Partial };
        };
        match buf.get(end + 1) {
            None => {
                self.looked = end;
                Line::Partial
            }
            Some(b'\n') => match buf.get(at + 1..end).and_then(scan::canonical) {
                Some(number) => Line::Is(number, end + 2),
                None => Line::Bad,
            },
            Some(_) => Line::Bad,
        }
    }

    #[cold]
    fn inline(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Scan {
        let stop = (limits.inline_bytes as usize).saturating_add(1);
        let Some(end) = scan::find(b'\n', buf, self.looked, stop) else {
            self.looked = buf.len();
            return if buf.len() >= stop {
                Scan::Invalid(ProtocolError::InlineTooBig)
            } else {
                Scan::Partial
            };
        };
        let line = buf.get(..end).unwrap_or(&[]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match inline::split(line, args) {
            Err(inline::Unbalanced) => Scan::Invalid(ProtocolError::UnbalancedQuotes),
            Ok(()) if args.is_empty() => Scan::Empty { len: end + 1 },
            Ok(()) if args.len() > limits.args as usize => Scan::Invalid(ProtocolError::MultibulkLength),
            Ok(()) => Scan::Complete { len: end + 1, inline: true },
        }
    }
}

/// The length of a request that is all there and written as clients write it, with its arguments in `args`. Nothing where
/// it takes a closer look.
#[inline]
fn whole(buf: &[u8], limits: &Limits, args: &mut Args) -> Option<usize> {
    let buf = scan::within(buf, limits.request_cap());
    let (count, mut at) = scan::length(buf, 1).filter(|_| buf.first() == Some(&b'*'))?;
    if count == 0 || count > u64::from(limits.args) {
        return None;
    }
    while (args.len() as u64) < count {
        let (start, end) = scan::value(buf, at)?;
        if (end - start) as u64 > limits.bulk_bytes {
            return None;
        }
        args.push(start, end);
        at = end + 2;
    }
    Some(at)
}

/// Why a stream is not RESP: always the client's fault, never worth a retry, and the end of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is none, or above the bound on arguments.
    MultibulkLength,
    /// An argument begins with this byte.
    ExpectedDollar(u8),
    /// The number after `$` is none, negative, or above the bound on an argument.
    BulkLength,
    /// An argument is not followed by CRLF. Our own: redis does not look.
    BulkEnd,
    /// An inline request without an end.
    InlineTooBig,
    /// A line after `*` without an end.
    CountTooLong,
    /// A line after `$` without an end.
    LengthTooLong,
    /// An inline request with a quote that does not close, or that something follows.
    UnbalancedQuotes,
    /// All arguments together are above the bound on a request. Our own: redis bounds each argument alone.
    RequestTooBig,
}

impl ProtocolError {
    /// The client's text, redis' own where redis has one; goes after `-ERR `.
    pub fn text(&self) -> Cow<'static, [u8]> {
        let text: &'static [u8] = match *self {
            ProtocolError::MultibulkLength => b"Protocol error: invalid multibulk length",
            ProtocolError::ExpectedDollar(byte) => {
                // Bytes that would end the error line, or a C string, are blanked, as redis does.
                let byte = if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte };
                let text = [b"Protocol error: expected '$', got '", &[byte][..], b"'"].concat();
                return Cow::Owned(text);
            }
            ProtocolError::BulkLength => b"Protocol error: invalid bulk length",
            ProtocolError::BulkEnd => b"Protocol error: expected CRLF after argument",
            ProtocolError::InlineTooBig => b"Protocol error: too big inline request",
            ProtocolError::CountTooLong => b"Protocol error: too big mbulk count string",
            ProtocolError::LengthTooLong => b"Protocol error: too big bulk count string",
            ProtocolError::UnbalancedQuotes => b"Protocol error: unbalanced quotes in request",
            ProtocolError::RequestTooBig => b"Protocol error: request exceeds the proxy's size limit",
        };
        Cow::Borrowed(text)
    }
}

const _: () = assert!(size_of::<RequestScan>() <= 48);
