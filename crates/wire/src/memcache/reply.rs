//! Replies of memcached servers in the classic text protocol: one line, or blocks or lines until `END`.

use std::fmt;

use crate::limits::Limits;
use crate::scan;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyParse {
    /// A whole reply.
    Complete {
        /// Bytes of the reply.
        len: usize,
        /// What it is.
        kind: ReplyKind,
    },
    /// The reply has not ended yet.
    Partial,
    /// Not a reply: nothing more can be read from this server connection.
    Invalid(ReplyError),
}

/// A piece of the reply to a `get`: a value, or what ends the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole `VALUE` block.
    Value {
        /// Its bytes, the CRLF behind the data included.
        len: usize,
        /// Where its key, which begins at [`KEY_AT`], ends; 0 when the line is passed on already.
        key_end: usize,
    },
    /// `END`, or the error in its place.
    Last {
        /// Bytes of the line, its end included.
        len: usize,
    },
    /// Neither has ended yet.
    Partial,
    /// Neither: nothing more can be read from this server connection.
    Invalid(ReplyError),
}

/// Where in a `VALUE` block its key begins.
pub const KEY_AT: usize = 6;

/// What a reply says. An error that comes after some `VALUE` blocks ends the reply and gives it its kind;
/// [`values`] still yields the blocks before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// `VALUE` blocks and `END`.
    Values {
        /// How many blocks.
        count: u32,
    },
    /// `END` alone: no key was found, or nothing is to be told.
    End,
    /// Lines of `stats` and `END`.
    Stats,
    /// `STORED`
    Stored,
    /// `NOT_STORED`
    NotStored,
    /// `EXISTS`
    Exists,
    /// `NOT_FOUND`
    NotFound,
    /// `DELETED`
    Deleted,
    /// `TOUCHED`
    Touched,
    /// `OK`
    Ok,
    /// `RESET`
    Reset,
    /// The new value after `incr` or `decr`.
    Number,
    /// `VERSION 1.6.18`
    Version,
    /// `ERROR`, perhaps with a reason behind it: the server does not know the command.
    Error,
    /// `CLIENT_ERROR reason`
    ClientError,
    /// `SERVER_ERROR reason`
    ServerError,
    /// Any other line.
    Other,
}

impl ReplyKind {
    /// Whether the reply is an error, or ends in one.
    pub fn is_error(self) -> bool {
        matches!(self, ReplyKind::Error | ReplyKind::ClientError | ReplyKind::ServerError)
    }
}

/// Where an unfinished reply stands. Resets itself when the reply ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyScan {
    /// Where the next line begins; in a data block, where its data ends. May lie beyond the buffer.
    at: usize,
    /// Everything before this was searched for a line end in vain.
    looked: usize,
    /// `VALUE` blocks so far.
    count: u32,
    part: Part,
    /// Bytes of the reply that came before the buffer and were passed on.
    passed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// The first line.
    #[default]
    First,
    /// The line after a `VALUE` block.
    Values,
    /// The data of a `VALUE` block, or its line end.
    Data,
    /// A line after a line of `stats`.
    Stats,
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
        if self.part == Part::First
            && self.looked == 0
            && let Some((len, kind)) = whole(buf, limits)
        {
            return ReplyParse::Complete { len, kind };
        }
        self.careful(buf, limits)
    }

    /// The same for a reply in any form, whole or not.
    fn careful(&mut self, buf: &[u8], limits: &Limits) -> ReplyParse {
        let kind = loop {
            match self.step(buf, limits) {
                Ok(None) => {}
                Ok(Some(kind)) => break kind,
                Err(Stop::Partial) => return ReplyParse::Partial,
                Err(Stop::Invalid(error)) => {
                    *self = ReplyScan::default();
                    return ReplyParse::Invalid(error);
                }
            }
        };
        let len = self.at;
        *self = ReplyScan::default();
        ReplyParse::Complete { len, kind }
    }

    /// Looks for the next piece of the reply to a `get`: `buf` starts with the piece's first byte and holds everything
    /// received since. Each piece may be as large as a reply. The scan resets itself when a piece ends.
    #[inline]
    pub fn piece(&mut self, buf: &[u8], limits: &Limits) -> Piece {
        if self.part == Part::First && self.looked == 0 {
            let buf = scan::within(buf, limits.reply_bytes);
            if let Some((key_end, len)) = block(buf, 0, limits.reply_line_bytes) {
                return Piece::Value { len, key_end };
            }
            if buf.starts_with(b"END\r\n") {
                return Piece::Last { len: 5 };
            }
        }
        self.careful_piece(buf, limits)
    }

    /// The same for a piece in any form, whole or not.
    fn careful_piece(&mut self, buf: &[u8], limits: &Limits) -> Piece {
        let piece = loop {
            match self.step(buf, limits) {
                Ok(None) if self.part == Part::Values => {
                    let key_end = if self.passed == 0 { scan::word_end(buf, KEY_AT) } else { None };
                    break Piece::Value { len: self.at, key_end: key_end.unwrap_or(0) };
                }
                Ok(None) => {}
                Ok(Some(kind)) if kind == ReplyKind::End || kind.is_error() => {
                    break Piece::Last { len: self.at };
                }
                Ok(Some(_)) => break Piece::Invalid(ReplyError::Line),
                Err(Stop::Partial) => return Piece::Partial,
                Err(Stop::Invalid(error)) => break Piece::Invalid(error),
            }
        };
        *self = ReplyScan::default();
        piece
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

    /// Takes one line or one data block; the kind once the reply ends.
    #[inline]
    fn step(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<ReplyKind>, Stop> {
        if self.part == Part::Data {
            return match scan::crlf(buf, self.at) {
                None => Err(Stop::Partial),
                Some(false) => Err(ReplyError::DataEnd.into()),
                Some(true) => {
                    self.at += 2;
                    self.count = self.count.saturating_add(1);
                    self.part = Part::Values;
                    Ok(None)
                }
            };
        }
        let (line, next) = self.line(buf, limits)?;
        let so_far = self.passed.saturating_add(next as u64);
        let room = limits.reply_bytes.checked_sub(so_far).ok_or(ReplyError::TooLarge)?;
        self.at = next;
        if self.part != Part::Stats && line.starts_with(b"VALUE ") {
            let bytes = data_bytes(line).ok_or(ReplyError::Value)?;
            if room < 2 || bytes > room - 2 {
                return Err(ReplyError::TooLarge.into());
            }
            self.at = usize::try_from(next as u64 + bytes).map_err(|_| ReplyError::TooLarge)?;
            self.part = Part::Data;
            return Ok(None);
        }
        let end = line == b"END";
        match self.part {
            Part::Values if end => Ok(Some(ReplyKind::Values { count: self.count })),
            Part::Stats if end => Ok(Some(ReplyKind::Stats)),
            Part::First | Part::Stats if is_stat(line) => {
                self.part = Part::Stats;
                Ok(None)
            }
            Part::First => Ok(Some(if end { ReplyKind::End } else { one_line(line) })),
            _ => match one_line(line) {
                kind if kind.is_error() => Ok(Some(kind)),
                _ => Err(ReplyError::Line.into()),
            },
        }
    }

    /// The line at `self.at` without its end, and where the next one begins.
    #[inline]
    fn line<'b>(&mut self, buf: &'b [u8], limits: &Limits) -> Result<(&'b [u8], usize), Stop> {
        let stop = self.at.saturating_add(limits.reply_line_bytes as usize).saturating_add(2);
        let from = self.looked.max(self.at);
        let Some(end) = scan::find(b'\n', buf, from, stop) else {
            self.looked = buf.len();
            return Err(if buf.len() >= stop { ReplyError::LineTooLong.into() } else { Stop::Partial });
        };
        let line = buf.get(self.at..end).and_then(|line| line.strip_suffix(b"\r"));
        Ok((line.ok_or(ReplyError::LineEnd)?, end + 1))
    }
}

/// A reply that is all there, in one of the forms in which servers answer most requests; nothing for any other.
#[inline]
fn whole(buf: &[u8], limits: &Limits) -> Option<(usize, ReplyKind)> {
    let buf = scan::within(buf, limits.reply_bytes);
    let (mut at, mut count) = (0, 0);
    while let Some((_, end)) = block(buf, at, limits.reply_line_bytes) {
        (at, count) = (end, count + 1);
    }
    match *buf.get(at..)? {
        [b'E', b'N', b'D', b'\r', b'\n', ..] if count > 0 => Some((at + 5, ReplyKind::Values { count })),
        [b'E', b'N', b'D', b'\r', b'\n', ..] => Some((at + 5, ReplyKind::End)),
        [b'S', b'T', b'O', b'R', b'E', b'D', b'\r', b'\n', ..] if count == 0 => Some((8, ReplyKind::Stored)),
        _ => None,
    }
}

/// The block that begins at `at` if it is all there, written as servers answer `get`: `VALUE <key> <flags> <bytes>` and data.
/// Where its key and where the block ends.
#[inline(always)] // into what every value passes
fn block(buf: &[u8], at: usize, line_bytes: u32) -> Option<(usize, usize)> {
    let rest = buf.get(at..).filter(|rest| rest.starts_with(b"VALUE "))?;
    let key_end = scan::word_end(rest, KEY_AT).filter(|end| rest[*end] == b' ')?;
    let flags = rest.get(key_end + 1..)?;
    let flags_end = key_end + 1 + flags.iter().position(|byte| !byte.is_ascii_digit())?;
    let (bytes, data) = scan::length(rest, flags_end + 1).filter(|_| rest[flags_end] == b' ')?;
    let data_end = usize::try_from(bytes).ok()?.checked_add(data)?;
    let whole = data - 2 <= line_bytes as usize && scan::crlf(rest, data_end) == Some(true);
    whole.then_some((at + key_end, at + data_end + 2))
}

/// The `<bytes>` of a `VALUE <key> <flags> <bytes> [<unique>]` line.
#[inline]
fn data_bytes(line: &[u8]) -> Option<u64> {
    scan::tally(line.len());
    scan::unsigned(line.split(|&byte| byte == b' ').nth(3)?)
}

/// `stats` in its forms: `STAT name value`, and `ITEM` and `PREFIX` of its subcommands.
fn is_stat(line: &[u8]) -> bool {
    [&b"STAT "[..], b"ITEM ", b"PREFIX "].iter().any(|word| line.starts_with(word))
}

fn one_line(line: &[u8]) -> ReplyKind {
    match line {
        b"STORED" => ReplyKind::Stored,
        b"NOT_STORED" => ReplyKind::NotStored,
        b"EXISTS" => ReplyKind::Exists,
        b"NOT_FOUND" => ReplyKind::NotFound,
        b"DELETED" => ReplyKind::Deleted,
        b"TOUCHED" => ReplyKind::Touched,
        b"OK" => ReplyKind::Ok,
        b"RESET" => ReplyKind::Reset,
        [b'0'..=b'9', ..] if scan::unsigned(line.trim_ascii_end()).is_some() => ReplyKind::Number,
        _ if line.starts_with(b"VERSION ") => ReplyKind::Version,
        _ if line.starts_with(b"ERROR") => ReplyKind::Error,
        _ if line.starts_with(b"CLIENT_ERROR") => ReplyKind::ClientError,
        _ if line.starts_with(b"SERVER_ERROR") => ReplyKind::ServerError,
        _ => ReplyKind::Other,
    }
}

/// The `VALUE` block at the start of `buf`, if it is all there and written as servers answer `get`: where its key, which begins
/// at [`KEY_AT`], ends, and where the block ends. All else, too long or wrong or not all there, is for [`ReplyScan::piece`] to judge.
#[inline]
pub fn whole_value(buf: &[u8], limits: &Limits) -> Option<(usize, usize)> {
    block(buf, 0, limits.reply_line_bytes)
}

/// The `VALUE` blocks of a reply: key, and the whole block from `VALUE` to the CRLF behind the data.
pub fn values(reply: &[u8]) -> Values<'_> {
    Values { rest: reply }
}

/// Walks over `VALUE` blocks. Ends where anything else begins.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    /// What is left of the reply: after the last block `END`, or the error in its place.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some((key_end, end)) = block(self.rest, 0, u32::MAX) else { return self.careful() };
        let (block, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some((block.get(KEY_AT..key_end)?, block))
    }
}

impl<'a> Values<'a> {
    /// The next block in any form that a scan accepts.
    fn careful(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let after = self.rest.strip_prefix(b"VALUE ")?;
        let line_end = scan::find(b'\n', self.rest, 0, self.rest.len())?;
        let line = self.rest.get(..line_end)?.strip_suffix(b"\r")?;
        let bytes = usize::try_from(data_bytes(line)?).ok()?;
        let len = line_end.checked_add(bytes)?.checked_add(3)?;
        let (block, rest) = self.rest.split_at_checked(len)?;
        let key = after.split(|&byte| byte == b' ').next()?;
        self.rest = rest;
        Some((key, block))
    }
}

/// Why bytes are not a reply: always the server's fault, and the end of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line is longer than the bound.
    LineTooLong,
    /// A line ends in a bare line feed.
    LineEnd,
    /// A `VALUE` line without a valid `<bytes>`.
    Value,
    /// Data is not followed by CRLF.
    DataEnd,
    /// A line that does not belong between `VALUE` blocks or among those of `stats`.
    Line,
    /// The reply is longer than the bound.
    TooLarge,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplyError::LineTooLong => "line of a reply exceeds the limit",
            ReplyError::LineEnd => "line of a reply does not end in CRLF",
            ReplyError::Value => "VALUE line without a valid length",
            ReplyError::DataEnd => "value in a reply is not followed by CRLF",
            ReplyError::Line => "line of another kind inside a reply",
            ReplyError::TooLarge => "reply exceeds the size limit",
        })
    }
}

impl std::error::Error for ReplyError {}

const _: () = assert!(size_of::<ReplyScan>() <= 48);
