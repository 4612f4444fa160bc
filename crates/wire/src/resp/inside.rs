//! Looking into a whole reply, for those that have to be merged or understood.
//!
//! Every function takes a reply that a scan found complete. Given anything else they find less, or nothing.

use super::reply::{ReplyParse, ReplyScan};
use crate::limits::Limits;
use crate::scan;

/// The value of an integer reply.
pub fn integer(reply: &[u8]) -> Option<i64> {
    let text = without_attributes(reply).strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    scan::signed(text)
}

/// The first word of an error, `ERR` or `MOVED` say; empty where the reply is none.
pub fn error_code(reply: &[u8]) -> &[u8] {
    let text = match without_attributes(reply) {
        [b'-', text @ ..] => text,
        bulk @ [b'!', ..] => payload(bulk).unwrap_or(&[]),
        _ => &[],
    };
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    text.get(..end.unwrap_or(text.len())).unwrap_or(&[])
}

/// The value of a bulk reply; nothing for null and for anything else.
pub fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let reply = without_attributes(reply);
    if reply.first() == Some(&b'$') { payload(reply) } else { None }
}

/// The elements of an aggregate reply: how many, and each as it came, attributes included.
///
/// A map has two elements per pair. Nothing for null and for a reply that is no aggregate.
pub fn elements(reply: &[u8]) -> Option<(usize, Elements<'_>)> {
    let reply = without_attributes(reply);
    let &kind = reply.first()?;
    let (number, next) = scan::length(reply, 1)?;
    let number = usize::try_from(number).ok()?;
    let count = match kind {
        b'*' | b'~' | b'>' => number,
        b'%' => number.checked_mul(2)?,
        _ => return None,
    };
    Some((count, Elements { rest: reply.get(next..)?, left: count }))
}

/// How many bytes the element at the start of `bytes` has, attributes included; nothing where it is not all there.
#[inline]
pub fn element(bytes: &[u8]) -> Option<usize> {
    match scan::value(bytes, 0) {
        Some((_, end)) => Some(end + 2),
        None => odd_element(bytes),
    }
}

/// The same of any element but a value.
#[inline(never)]
fn odd_element(bytes: &[u8]) -> Option<usize> {
    match ReplyScan::default().scan(bytes, &Limits::NONE) {
        ReplyParse::Complete { len, .. } => Some(len),
        _ => None,
    }
}

/// Walks over the elements of an aggregate reply. Ends early where the bytes are not a whole reply.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Elements<'a> {
    /// The bytes from the next element on.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let Some(len) = element(self.rest) else {
            self.left = 0;
            return None;
        };
        let (element, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

/// The reply behind its attributes, which are rare.
fn without_attributes(mut reply: &[u8]) -> &[u8] {
    while reply.first() == Some(&b'|') {
        let Some((pairs, next)) = scan::length(reply, 1) else { return &[] };
        let left = usize::try_from(pairs).unwrap_or(usize::MAX).saturating_mul(2);
        let mut attribute = Elements { rest: reply.get(next..).unwrap_or(&[]), left };
        attribute.by_ref().for_each(drop);
        reply = attribute.rest;
    }
    reply
}

fn payload(reply: &[u8]) -> Option<&[u8]> {
    let (length, start) = scan::length(reply, 1)?;
    reply.get(start..)?.get(..usize::try_from(length).ok()?)
}
