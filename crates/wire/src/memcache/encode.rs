//! Writing memcached's text protocol: a client's request as a server is to see it, and parts of split gets.

use super::text::Request;
use super::verb::Verb;
use crate::args::Args;

/// Appends the request as it is to be sent to a server: without `noreply`, so that it has exactly one
/// reply, and without what only some versions ignore. A plain copy where nothing needs changing.
pub fn forward(request: &Request, buf: &[u8], args: &Args, out: &mut Vec<u8>) {
    if request.as_is {
        out.extend_from_slice(buf.get(..request.len).unwrap_or(&[]));
        return;
    }
    forward_line(request, buf, args, out);
    out.extend_from_slice(buf.get(request.line_end..request.len).unwrap_or(&[]));
}

/// As [`forward`], with another exptime where one is given and the request has one.
pub fn forward_until(request: &Request, buf: &[u8], args: &Args, exptime: Option<&[u8]>, out: &mut Vec<u8>) {
    if exptime.is_none() {
        return forward(request, buf, args, out);
    }
    forward_line_until(request, buf, args, exptime, out);
    out.extend_from_slice(buf.get(request.line_end..request.len).unwrap_or(&[]));
}

/// Appends the line of [`forward`] alone; the data block, if any, is `buf[line_end..len]`.
pub fn forward_line(request: &Request, buf: &[u8], args: &Args, out: &mut Vec<u8>) {
    forward_line_until(request, buf, args, None, out);
}

/// Appends the line of [`forward_until`] alone.
pub fn forward_line_until(
    request: &Request,
    buf: &[u8],
    args: &Args,
    exptime: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    match exptime.zip(request.verb.exptime_word()) {
        Some((exptime, place)) => {
            let other = |index| if index == place { Some(exptime) } else { None };
            write_line(request, buf, args, other, out);
        }
        None if request.as_is => out.extend_from_slice(buf.get(..request.line_end).unwrap_or(&[])),
        None => write_line(request, buf, args, |_| None, out),
    }
}

/// Appends the words that a server needs to see, some of them replaced.
fn write_line<'a>(
    request: &Request,
    buf: &'a [u8],
    args: &Args,
    other: impl Fn(usize) -> Option<&'a [u8]>,
    out: &mut Vec<u8>,
) {
    let words = args.spans().iter().take(request.words as usize);
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(other(index).unwrap_or_else(|| word.of(buf)));
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a request for several keys: `get k1 k2`, or `gat 60 k1 k2` with `exptime`.
pub fn multiget<'a>(
    verb: Verb,
    exptime: Option<&[u8]>,
    keys: impl IntoIterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) {
    multiget_start(verb, exptime, out);
    for key in keys {
        multiget_key(key, out);
    }
    multiget_end(out);
}

/// Begins a request for several keys that is written piece by piece.
pub fn multiget_start(verb: Verb, exptime: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(verb.name().as_bytes());
    if let Some(exptime) = exptime {
        multiget_key(exptime, out);
    }
}

/// Adds a key to a request for several keys.
pub fn multiget_key(key: &[u8], out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(key);
}

/// Ends a request for several keys.
pub fn multiget_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends `delete key`: what has to follow a refused `set`, so that its old value is gone.
pub fn delete(key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"delete ");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\r\n");
}
