//! Replies of redis servers: finding their end.
//!
//! ```text
//!   due = 1      *2 ──→ due = 2      :1 ──→ due = 1      %0 ──→ due = 0: the reply ends here
//! ```
//! One counter of elements still due finds the end of any nesting, since an aggregate replaces itself by
//! its elements. An attribute (`|`) adds its elements and leaves the one it is about still due.

use std::fmt;

pub use super::inside::{Elements, bulk, element, elements, error_code, integer};
use crate::limits::Limits;
use crate::scan;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyParse {
    /// A whole reply.
    Complete {
        /// Bytes of the reply, attributes before it included.
        len: usize,
        /// What it is.
        kind: ReplyKind,
    },
    /// The reply has not ended yet.
    Partial,
    /// Not a reply: nothing more can be read from this server connection.
    Invalid(ReplyError),
}

/// The type of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// `+`
    Simple,
    /// `-`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `_`, `$-1` or `*-1`
    Null,
    /// `*`
    Array,
    /// `%`
    Map,
    /// `~`
    Set,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `#`
    Boolean,
    /// `=`
    Verbatim,
    /// `!`
    BulkError,
    /// `>`: not an answer to a request; it may come between any two replies.
    Push,
}

/// Where an unfinished reply stands. Resets itself when the reply ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyScan {
    /// Elements not yet complete, the reply itself being the first.
    due: u64,
    /// Where the next element begins; in a payload, where that ends. May lie beyond the buffer.
    at: usize,
    /// Everything before this was searched for a line end in vain.
    looked: usize,
    /// Known once attributes are over.
    kind: Option<ReplyKind>,
    /// `at` is the end of a payload, and CRLF is to follow.
    in_payload: bool,
    /// Bytes of the reply that came before the buffer and were passed on.
    passed: u64,
}

/// An element's first line: what it announces.
enum Head {
    /// Nothing more belongs to it.
    Whole(ReplyKind),
    /// So many bytes and CRLF.
    Payload(ReplyKind, u64),
    /// So many elements.
    Elements(ReplyKind, u64),
    /// So many elements, and then what they are about.
    Attribute(u64),
}

enum Stop {
    Partial,
    Invalid(ReplyError),
}

impl From<ReplyError> for Stop {
    fn from(error: ReplyError) -> Self {
        Stop::Invalid(error)
    }
}

impl ReplyScan {
    /// Looks at `buf`, which starts with the reply's first byte and holds everything received since.
    #[inline]
    pub fn scan(&mut self, buf: &[u8], limits: &Limits) -> ReplyParse {
        if self.due == 0
            && let Some((len, kind)) = whole(buf, limits)
        {
            return ReplyParse::Complete { len, kind };
        }
        self.careful(buf, limits)
    }

    /// The same for a reply in any form, whole or not.
    fn careful(&mut self, buf: &[u8], limits: &Limits) -> ReplyParse {
        match self.walk(buf, limits) {
            Ok(kind) => {
                let len = self.at;
                *self = ReplyScan::default();
                ReplyParse::Complete { len, kind }
            }
            Err(Stop::Partial) => ReplyParse::Partial,
            Err(Stop::Invalid(error)) => {
                *self = ReplyScan::default();
                ReplyParse::Invalid(error)
            }
        }
    }

    /// After `Partial`: the type of the unfinished reply, once it is known.
    pub fn kind(&self) -> Option<ReplyKind> {
        self.kind
    }

    /// After `Partial`: the reply has at least so many bytes from the start of the buffer on.
    pub fn announced(&self) -> usize {
        self.at
    }

    /// After `Partial`: so many bytes of a buffer of `len` bytes are looked at for good and may be passed on. They are
    /// to be dropped from its start; later buffers begin behind them.
    pub fn pass(&mut self, len: usize) -> usize {
        let count = self.at.min(len);
        self.at -= count;
        self.looked = self.looked.saturating_sub(count);
        self.passed = self.passed.saturating_add(count as u64);
        count
    }

    #[inline]
    fn walk(&mut self, buf: &[u8], limits: &Limits) -> Result<ReplyKind, Stop> {
        if self.due == 0 {
            self.due = 1;
        }
        loop {
            if self.in_payload {
                match scan::crlf(buf, self.at) {
                    None => return Err(Stop::Partial),
                    Some(false) => return Err(ReplyError::PayloadEnd.into()),
                    Some(true) => {}
                }
                self.at += 2;
                self.in_payload = false;
                self.due -= 1;
            } else {
                self.element(buf, limits)?;
                self.values(buf, limits);
            }
            if self.due == 0 && !self.in_payload {
                // Only an element that is no attribute brings the count to zero, and that set the kind.
                return self.kind.ok_or(Stop::Invalid(ReplyError::Number));
            }
        }
    }

    #[inline]
    fn element(&mut self, buf: &[u8], limits: &Limits) -> Result<(), Stop> {
        let (head, next) = self.head(buf, limits)?;
        let so_far = self.passed.saturating_add(next as u64);
        let Some(room) = limits.reply_bytes.checked_sub(so_far) else {
            return Err(ReplyError::TooLarge.into());
        };
        let due = self.due - 1;
        let (kind, due) = match head {
            Head::Whole(kind) => (Some(kind), due),
            Head::Payload(kind, bytes) => {
                if room < 2 || bytes > room - 2 {
                    return Err(ReplyError::TooLarge.into());
                }
                let end = usize::try_from(next as u64 + bytes).map_err(|_| ReplyError::TooLarge)?;
                self.kind = self.kind.or(self.is_top().then_some(kind));
                self.at = end;
                self.in_payload = true;
                return Ok(());
            }
            Head::Elements(kind, more) => (Some(kind), due.saturating_add(more)),
            Head::Attribute(more) => (None, due.saturating_add(more).saturating_add(1)),
        };
        if due > room / SMALLEST {
            return Err(ReplyError::TooLarge.into());
        }
        if self.is_top() {
            self.kind = self.kind.or(kind);
        }
        self.due = due;
        self.at = next;
        Ok(())
    }

    /// Takes the values inside an aggregate that are all there. Whatever comes then is for the careful path.
    #[inline]
    fn values(&mut self, buf: &[u8], limits: &Limits) {
        if self.in_payload || self.kind.is_none() {
            return;
        }
        let buf = scan::within(buf, limits.reply_bytes.saturating_sub(self.passed));
        let (mut at, mut due) = (self.at, self.due);
        while due > 0
            && let Some((_, end)) = scan::value(buf, at)
        {
            (at, due) = (end + 2, due - 1);
        }
        (self.at, self.due) = (at, due);
    }

    /// Whether the element being read may be the reply itself: inside attributes more than one is due.
    fn is_top(&self) -> bool {
        self.due == 1
    }

    #[inline]
    fn head(&mut self, buf: &[u8], limits: &Limits) -> Result<(Head, usize), Stop> {
        let byte = *buf.get(self.at).ok_or(Stop::Partial)?;
        let kind = match byte {
            b'$' => ReplyKind::Bulk,
            b'*' => ReplyKind::Array,
            b':' => ReplyKind::Integer,
            b'%' => ReplyKind::Map,
            b'~' => ReplyKind::Set,
            b'=' => ReplyKind::Verbatim,
            b'!' => ReplyKind::BulkError,
            b'>' => ReplyKind::Push,
            b'|' => ReplyKind::Map, // an attribute; told apart by `announced`
            _ => return self.line_head(byte, buf, limits),
        };
        match scan::length(buf, self.at + 1) {
            Some((number, next)) => Ok((announced(byte, kind, number)?, next)),
            None => self.odd_number_head(byte, kind, buf, limits),
        }
    }

    /// A number line that is unfinished, negative or wrong.
    fn odd_number_head(
        &mut self,
        byte: u8,
        kind: ReplyKind,
        buf: &[u8],
        limits: &Limits,
    ) -> Result<(Head, usize), Stop> {
        let (text, next) = self.line(buf, limits)?;
        let head = match (byte, text) {
            (b':', text) => {
                scan::signed(text).ok_or(ReplyError::Number)?;
                Head::Whole(kind)
            }
            (b'$' | b'*', b"-1") => Head::Whole(ReplyKind::Null),
            (_, b"?") => return Err(ReplyError::Streamed.into()),
            (_, text) => {
                let number = scan::canonical(text).and_then(|number| u64::try_from(number).ok());
                announced(byte, kind, number.ok_or(ReplyError::Number)?)?
            }
        };
        Ok((head, next))
    }

    fn line_head(&mut self, byte: u8, buf: &[u8], limits: &Limits) -> Result<(Head, usize), Stop> {
        let kind = match byte {
            b'+' => ReplyKind::Simple,
            b'-' => ReplyKind::Error,
            b',' => ReplyKind::Double,
            b'(' => ReplyKind::BigNumber,
            b'#' => ReplyKind::Boolean,
            b'_' => ReplyKind::Null,
            b';' | b'.' => return Err(ReplyError::Streamed.into()),
            other => return Err(ReplyError::Type(other).into()),
        };
        let (text, next) = self.line(buf, limits)?;
        match (kind, text) {
            (ReplyKind::Null, [_, ..]) => Err(ReplyError::Number.into()),
            (ReplyKind::Boolean, text) if !matches!(text, b"t" | b"f") => Err(ReplyError::Number.into()),
            _ => Ok((Head::Whole(kind), next)),
        }
    }

    /// The line of the element at `self.at`, without its type and its end, and where the next one begins.
    fn line<'b>(&mut self, buf: &'b [u8], limits: &Limits) -> Result<(&'b [u8], usize), Stop> {
        let start = self.at + 1;
        let stop = start.saturating_add(limits.reply_line_bytes as usize).saturating_add(2);
        let from = self.looked.max(start);
        let Some(end) = scan::find(b'\n', buf, from, stop) else {
            self.looked = buf.len();
            return Err(if buf.len() >= stop { ReplyError::LineTooLong.into() } else { Stop::Partial });
        };
        let text =
            buf.get(start..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ReplyError::LineEnd)?;
        Ok((text, end + 1))
    }
}

/// A reply that is all there, in one of the forms in which servers answer most requests; nothing for any other.
#[inline]
fn whole(buf: &[u8], limits: &Limits) -> Option<(usize, ReplyKind)> {
    let buf = scan::within(buf, limits.reply_bytes);
    match *buf {
        [b'$', b'-', b'1', b'\r', b'\n', ..] => Some((5, ReplyKind::Null)),
        [b'$', ..] => Some((scan::value(buf, 0)?.1 + 2, ReplyKind::Bulk)),
        [b'+', b'O', b'K', b'\r', b'\n', ..] => Some((5, ReplyKind::Simple)),
        [b':', ..] => Some((scan::length(buf, 1)?.1, ReplyKind::Integer)),
        _ => None,
    }
}

/// What the number after a type byte announces.
#[inline]
fn announced(byte: u8, kind: ReplyKind, number: u64) -> Result<Head, ReplyError> {
    Ok(match byte {
        b':' => Head::Whole(kind),
        b'$' | b'=' | b'!' => Head::Payload(kind, number),
        b'*' | b'~' | b'>' => Head::Elements(kind, number),
        b'%' => Head::Elements(kind, number.checked_mul(2).ok_or(ReplyError::TooLarge)?),
        _ => Head::Attribute(number.checked_mul(2).ok_or(ReplyError::TooLarge)?),
    })
}

/// Bytes of the smallest element, `_\r\n`: a count that cannot fit the reply's bound is refused at once.
const SMALLEST: u64 = 3;

/// Why bytes are not a reply: always the server's fault, and the end of its connection. Whether requests
/// that wait there may be retried depends on them, not on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// No type begins with this byte.
    Type(u8),
    /// A line is longer than the bound.
    LineTooLong,
    /// A line ends in a bare line feed.
    LineEnd,
    /// A number, a null or a boolean is none.
    Number,
    /// A payload is not followed by CRLF.
    PayloadEnd,
    /// The reply is longer than the bound, or has more elements than could fit it.
    TooLarge,
    /// A RESP3 streamed string or aggregate, which no server sends.
    Streamed,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::Type(byte) => write!(f, "reply begins with byte 0x{byte:02x}, which is no type"),
            ReplyError::LineTooLong => f.write_str("line of a reply exceeds the limit"),
            ReplyError::LineEnd => f.write_str("line of a reply does not end in CRLF"),
            ReplyError::Number => f.write_str("number in a reply is invalid"),
            ReplyError::PayloadEnd => f.write_str("value in a reply is not followed by CRLF"),
            ReplyError::TooLarge => f.write_str("reply exceeds the size limit"),
            ReplyError::Streamed => f.write_str("streamed RESP3 types are not supported"),
        }
    }
}

impl std::error::Error for ReplyError {}

const _: () = assert!(size_of::<ReplyScan>() <= 48);
