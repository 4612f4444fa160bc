//! Inline requests: words and quotes as redis' `sdssplitargs` reads them, written anew as a RESP array.

use super::encode;
use crate::args::{Args, Span};
use crate::scan;

/// A quote that does not close, or whose closing quote touches the next word.
#[derive(Debug)]
pub(crate) struct Unbalanced;

/// Splits `line` (no line end) into `args`, spans and canonical bytes both.
///
/// A NUL is a byte like any other here; redis never finds the end of a line that holds one.
pub(crate) fn split(line: &[u8], args: &mut Args) -> Result<(), Unbalanced> {
    scan::tally(line.len());
    let (spans, canonical, scratch) = args.rebuild();
    scratch.clear();
    let mut rest = line;
    while let Some(start) = rest.iter().position(|&byte| !is_space(byte)) {
        let before = scratch.len();
        rest = word(rest.get(start..).unwrap_or(&[]), scratch)?;
        spans.push(Span { start: before as u32, end: scratch.len() as u32 });
    }
    encode::array_header(spans.len(), canonical);
    for span in spans.iter_mut() {
        let word = span.of(scratch);
        encode::bulk(word, canonical);
        // The word now ends just before the last line end.
        let end = canonical.len().saturating_sub(2);
        *span = Span { start: (end - word.len()) as u32, end: end as u32 };
    }
    Ok(())
}

/// Appends the word that `text` begins with, unquoted, to `out`; returns what follows it.
fn word<'t>(mut text: &'t [u8], out: &mut Vec<u8>) -> Result<&'t [u8], Unbalanced> {
    loop {
        match text {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(text),
            // A quote may open inside a word; where it closes, the word ends.
            [b'"', quoted @ ..] => return double_quoted(quoted, out),
            [b'\'', quoted @ ..] => return single_quoted(quoted, out),
            [byte, rest @ ..] => {
                out.push(*byte);
                text = rest;
            }
        }
    }
}

fn double_quoted<'t>(mut text: &'t [u8], out: &mut Vec<u8>) -> Result<&'t [u8], Unbalanced> {
    loop {
        let (byte, rest) = match text {
            [b'"', rest @ ..] => return closed(rest),
            [b'\\', b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) << 4 | hex(*low), rest)
            }
            [b'\\', escaped, rest @ ..] => (unescape(*escaped), rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return Err(Unbalanced),
        };
        out.push(byte);
        text = rest;
    }
}

fn single_quoted<'t>(mut text: &'t [u8], out: &mut Vec<u8>) -> Result<&'t [u8], Unbalanced> {
    loop {
        let (byte, rest) = match text {
            [b'\'', rest @ ..] => return closed(rest),
            [b'\\', b'\'', rest @ ..] => (b'\'', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return Err(Unbalanced),
        };
        out.push(byte);
        text = rest;
    }
}

/// A closing quote must be followed by a space or nothing at all.
fn closed(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => Err(Unbalanced),
        _ => Ok(rest),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a') + 10,
    }
}

/// C's `isspace`. Blanks before a word may be any of these; a bare word is ended by fewer.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
