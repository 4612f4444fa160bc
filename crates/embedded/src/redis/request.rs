//! Reads requests: RESP arrays of bulk strings, or inline lines. Goes on where the last bytes ended.

use super::inline;

/// One request: the command's name and its arguments. Never empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request(pub(crate) Vec<Vec<u8>>);

/// Why a stream cannot be read any further, in redis' words (`networking.c`), but for what is beyond our own
/// bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    InvalidMultibulkLength,
    InvalidBulkLength,
    ExpectedBulk(u8),
    TooBigInline,
    TooBigCount,
    TooBigBulkCount,
    UnbalancedQuotes,
    /// Longer than this many bytes.
    TooLong(usize),
}

/// The reader of one connection, and what it has of an unfinished request.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes_max: usize,
    /// Bytes of the request so far, with [`ARGUMENT_COST`] for each argument.
    bytes: usize,
    args: Vec<Vec<u8>>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between requests.
    Start,
    /// Before the length of an argument; this many arguments are missing, at least one.
    Length { missing: usize },
    /// Within an argument, which is the last of `args`: this many of its bytes are missing, then CRLF.
    Data { missing: usize, bytes: usize },
}

impl Reader {
    pub(crate) fn new(bytes_max: usize) -> Reader {
        Reader { bytes_max, bytes: 0, args: Vec::new(), state: State::Start }
    }

    /// Reads on in `input`: how many bytes are done with, and the request if one is complete now.
    pub(crate) fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Request>), Broken> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let step = match self.state {
                State::Start => self.start(rest)?,
                State::Length { missing } => self.length(rest, missing)?,
                State::Data { missing, bytes } => self.data(rest, missing, bytes),
            };
            match step {
                Progress::Wait => return Ok((used, None)),
                Progress::Used(count) => used += count,
                Progress::Done(count) => {
                    self.bytes = 0;
                    self.state = State::Start;
                    return Ok((used + count, Some(Request(std::mem::take(&mut self.args)))));
                }
            }
        }
    }

    fn start(&mut self, rest: &[u8]) -> Result<Progress, Broken> {
        let Some(&first) = rest.first() else { return Ok(Progress::Wait) };
        if first != b'*' {
            return self.inline(rest);
        }
        let Some((line, used)) = line(rest, Broken::TooBigCount)? else { return Ok(Progress::Wait) };
        let count = integer(line).ok_or(Broken::InvalidMultibulkLength)?;
        if count > ARGUMENTS_MAX {
            return Err(Broken::InvalidMultibulkLength);
        }
        // Nothing and less than nothing are no requests, and are not answered.
        if let Ok(missing @ 1..) = usize::try_from(count) {
            self.state = State::Length { missing };
        }
        Ok(Progress::Used(used))
    }

    fn inline(&mut self, rest: &[u8]) -> Result<Progress, Broken> {
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            return if rest.len() > LINE_MAX { Err(Broken::TooBigInline) } else { Ok(Progress::Wait) };
        };
        let line = rest.get(..end).unwrap_or_default();
        self.args =
            inline::split(line.strip_suffix(b"\r").unwrap_or(line)).ok_or(Broken::UnbalancedQuotes)?;
        Ok(if self.args.is_empty() { Progress::Used(end + 1) } else { Progress::Done(end + 1) })
    }

    fn length(&mut self, rest: &[u8], missing: usize) -> Result<Progress, Broken> {
        let Some((line, used)) = line_after_type(rest, Broken::TooBigBulkCount)? else {
            return Ok(Progress::Wait);
        };
        let length = integer(line).and_then(|n| usize::try_from(n).ok()).ok_or(Broken::InvalidBulkLength)?;
        self.bytes = self.bytes.saturating_add(length).saturating_add(ARGUMENT_COST);
        if self.bytes > self.bytes_max {
            return Err(Broken::TooLong(self.bytes_max));
        }
        // Grows as bytes come: a length alone must not cost memory.
        self.args.push(Vec::new());
        self.state = State::Data { missing: missing - 1, bytes: length };
        Ok(Progress::Used(used))
    }

    fn data(&mut self, rest: &[u8], missing: usize, bytes: usize) -> Progress {
        if bytes > 0 {
            let part = rest.get(..bytes.min(rest.len())).unwrap_or_default();
            if part.is_empty() {
                return Progress::Wait;
            }
            if let Some(arg) = self.args.last_mut() {
                arg.extend_from_slice(part);
            }
            self.state = State::Data { missing, bytes: bytes - part.len() };
            return Progress::Used(part.len());
        }
        // Like redis, take the two bytes after the data for CRLF whatever they are.
        if rest.len() < 2 {
            return Progress::Wait;
        }
        if missing == 0 {
            return Progress::Done(2);
        }
        self.state = State::Length { missing };
        Progress::Used(2)
    }
}

enum Progress {
    Wait,
    Used(usize),
    Done(usize),
}

/// What follows a type's sign up to CRLF, and the length with both. `long` when there is no end in sight.
fn line(rest: &[u8], long: Broken) -> Result<Option<(&[u8], usize)>, Broken> {
    match rest.iter().position(|&b| b == b'\r') {
        // Like redis, take the byte after CR for LF.
        Some(end) if end + 1 < rest.len() => Ok(Some((rest.get(1..end).unwrap_or_default(), end + 2))),
        None if rest.len() > LINE_MAX => Err(long),
        _ => Ok(None),
    }
}

fn line_after_type(rest: &[u8], long: Broken) -> Result<Option<(&[u8], usize)>, Broken> {
    let found = line(rest, long)?;
    match rest.first() {
        Some(&sign) if found.is_some() && sign != b'$' => Err(Broken::ExpectedBulk(sign)),
        _ => Ok(found),
    }
}

fn integer(text: &[u8]) -> Option<i64> {
    super::number::integer(text)
}

/// Longest line without an end, as in redis (PROTO_INLINE_MAX_SIZE).
const LINE_MAX: usize = 64 * 1024;
/// Most arguments, as in redis before 7 (1024 * 1024).
const ARGUMENTS_MAX: i64 = 1024 * 1024;
/// What an argument costs beside its bytes, so that a million empty ones count too.
const ARGUMENT_COST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a reader gets out of `bytes` handed over in pieces of `size`.
    fn read(bytes: &[u8], size: usize) -> (Vec<Vec<Vec<u8>>>, Option<Broken>) {
        let mut reader = Reader::new(1000);
        let (mut input, mut requests) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            input.extend_from_slice(piece);
            loop {
                match reader.read(&input) {
                    Ok((used, Some(Request(args)))) => {
                        input.drain(..used);
                        requests.push(args);
                    }
                    Ok((used, None)) => {
                        input.drain(..used);
                        break;
                    }
                    Err(broken) => return (requests, Some(broken)),
                }
            }
        }
        (requests, None)
    }

    #[test]
    fn requests_are_read_alike_however_they_arrive() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*0\r\n*-1\r\nset 'a b' \"\\x41\"\r\n\r\nPING\n\
                      *1\r\n$4\r\n\r\n\r\n\r\n";
        let words: [&[&[u8]]; 4] = [&[b"GET", b""], &[b"set", b"a b", b"A"], &[b"PING"], &[b"\r\n\r\n"]];
        let expected: Vec<Vec<Vec<u8>>> =
            words.iter().map(|words| words.iter().map(|w| w.to_vec()).collect()).collect();
        for size in 1..=bytes.len() {
            assert_eq!(read(bytes, size), (expected.clone(), None), "in pieces of {size}");
        }
    }

    #[test]
    fn broken_streams_are_named() {
        let rows: [(&[u8], Broken); 10] = [
            (b"*x\r\n", Broken::InvalidMultibulkLength),
            (b"*1048577\r\n", Broken::InvalidMultibulkLength),
            (b"*99999999999999999999\r\n", Broken::InvalidMultibulkLength),
            (b"*1\r\n:1\r\n", Broken::ExpectedBulk(b':')),
            (b"*1\r\n$-1\r\n", Broken::InvalidBulkLength),
            (b"*1\r\n$1x\r\n", Broken::InvalidBulkLength),
            (b"*1\r\n$1001\r\n", Broken::TooLong(1000)),
            (b"*3\r\n$400\r\n", Broken::TooLong(1000)),
            (b"get \"a\r\n", Broken::UnbalancedQuotes),
            (&[b'x'; LINE_MAX + 1], Broken::TooBigInline),
        ];
        for (bytes, expected) in rows {
            let mut whole = bytes.to_vec();
            if whole.starts_with(b"*3\r\n$400") {
                whole.extend_from_slice(&[b'x'; 400]);
                whole.extend_from_slice(b"\r\n$600\r\n");
            }
            for size in [1 + whole.len() / 1000, 7 + whole.len() / 1000, whole.len()] {
                assert_eq!(read(&whole, size).1, Some(expected.clone()), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn a_length_alone_costs_nothing() {
        let mut reader = Reader::new(usize::MAX);
        assert_eq!(reader.read(b"*1\r\n$536870912\r\n"), Ok((16, None)));
        assert_eq!(reader.args.first().map(Vec::capacity), Some(0));
    }
}
