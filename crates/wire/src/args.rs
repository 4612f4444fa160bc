//! The arguments of one request: where each lies in the bytes that hold the request.
//!
//! One `Args` belongs to a worker and is filled anew for every request, so that looking at a request
//! allocates nothing once the list has grown to its usual size.

use std::ops::Range;

/// A range of bytes, `start..end`, within the request's own bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of the span, or nothing where it does not fit `buf`.
    pub fn of<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }
}

/// The spans of a request's arguments, the command word first.
#[derive(Debug, Default)]
pub struct Args {
    spans: Vec<Span>,
    /// The request written anew, where the bytes that came cannot be pointed at (redis' inline form).
    canonical: Vec<u8>,
    /// Unquoted arguments of an inline request, before their count is known.
    scratch: Vec<u8>,
}

impl Args {
    /// Forgets the previous request.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.canonical.clear();
    }

    /// Adds the next argument.
    pub fn push(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        self.spans.push(Span { start: start as u32, end: end as u32 });
    }

    /// How many arguments there are, the command word included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a command word.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index` in `buf`; empty where there is none.
    pub fn get<'b>(&self, index: usize, buf: &'b [u8]) -> &'b [u8] {
        self.spans.get(index).map_or(&[], |span| span.of(buf))
    }

    /// An inline request written as a RESP array; its spans lie in these bytes. Empty for any other request.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Bytes of room that it holds.
    pub fn room(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.canonical.capacity() + self.scratch.capacity()
    }

    /// The parts an inline request is rebuilt in: spans, finished bytes, and bytes on the way there.
    pub(crate) fn rebuild(&mut self) -> (&mut Vec<Span>, &mut Vec<u8>, &mut Vec<u8>) {
        (&mut self.spans, &mut self.canonical, &mut self.scratch)
    }

    /// All spans in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The arguments together with the bytes they lie in.
    pub fn view<'a>(&'a self, buf: &'a [u8]) -> ArgView<'a> {
        ArgView { buf, spans: &self.spans }
    }
}

/// Arguments with their bytes: what a command's rules are asked about.
#[derive(Clone, Copy, Debug)]
pub struct ArgView<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
}

impl<'a> ArgView<'a> {
    /// How many arguments there are, the command word included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a command word.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; empty where there is none.
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.spans.get(index).map_or(&[], |span| span.of(self.buf))
    }

    /// Where argument `index` lies, where there is one.
    pub fn span(&self, index: usize) -> Option<Span> {
        self.spans.get(index).copied()
    }

    /// Arguments of a RESP request as they stand in it, their lengths before them. Not for the command word.
    pub fn encoded(&self, range: Range<usize>) -> &'a [u8] {
        let begins = |index: usize| {
            let before = index.checked_sub(1).and_then(|before| self.spans.get(before));
            before.map_or(0, |before| before.end as usize + 2)
        };
        self.buf.get(begins(range.start)..begins(range.end)).unwrap_or(&[])
    }

    /// The request's bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.buf
    }

    /// The arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + '_ {
        self.spans.iter().map(|span| span.of(self.buf))
    }
}
