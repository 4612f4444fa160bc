//! What must hold for any bytes at all, as plain functions: property tests and fuzz targets call them.
//!
//! Each takes a stream and the sizes of the reads it arrives in, and panics where a rule is broken:
//! - any split into reads gives the same messages as one read;
//! - a scan moves forward by at least one byte or waits for more;
//! - what was accepted can be written again, and reads the same;
//! - a message that is let pass piece by piece ends where it does when it is collected.

mod pass;

use crate::memcache::{self, text};
use crate::resp::{self, encode, request};
use crate::{Args, Limits};

/// Reads redis requests.
pub fn resp_requests(stream: &[u8], reads: &[usize], limits: &Limits) {
    let whole = read_resp_requests(stream, &[], limits);
    assert_eq!(read_resp_requests(stream, reads, limits), whole, "in reads of {reads:?}");
    pass::resp_requests(stream, reads, limits);
}

/// Reads redis replies.
pub fn resp_replies(stream: &[u8], reads: &[usize], limits: &Limits) {
    let whole = read_resp_replies(stream, &[], limits);
    assert_eq!(read_resp_replies(stream, reads, limits), whole, "in reads of {reads:?}");
    pass::resp_replies(stream, reads, limits);
}

/// Reads memcached requests.
pub fn memcache_requests(stream: &[u8], reads: &[usize], limits: &Limits) {
    let whole = read_memcache_requests(stream, &[], limits);
    assert_eq!(read_memcache_requests(stream, reads, limits), whole, "in reads of {reads:?}");
    pass::memcache_requests(stream, reads, limits);
}

/// Reads memcached replies.
pub fn memcache_replies(stream: &[u8], reads: &[usize], limits: &Limits) {
    let whole = read_memcache_replies(stream, &[], limits);
    assert_eq!(read_memcache_replies(stream, reads, limits), whole, "in reads of {reads:?}");
    pass::memcache_replies(stream, reads, limits);
}

/// Bounds that a short stream can reach.
pub fn small_limits() -> Limits {
    Limits {
        request_bytes: 200,
        bulk_bytes: 50,
        args: 6,
        inline_bytes: 40,
        reply_bytes: 200,
        reply_line_bytes: 40,
        value_bytes: 50,
    }
}

/// A message and its arguments, if it has any.
pub type Seen<M> = (M, Vec<Vec<u8>>);

/// The requests of `stream`, the one that breaks the protocol included.
pub fn read_resp_requests(stream: &[u8], reads: &[usize], limits: &Limits) -> Vec<Seen<request::Scan>> {
    let mut scan = request::RequestScan::default();
    let mut args = Args::default();
    drive(stream, reads, |buf| {
        let seen = scan.scan(buf, limits, &mut args);
        match seen {
            request::Scan::Partial => Step::Wait,
            request::Scan::Invalid(_) => Step::Stop((seen, Vec::new())),
            request::Scan::Empty { len } => Step::Took(len as u64, (seen, Vec::new())),
            request::Scan::Complete { len, inline } => {
                let bytes = if inline { args.canonical() } else { &buf[..len] };
                let words = owned(&args, bytes);
                let mut again = Vec::new();
                encode::request(args.view(bytes).iter(), &mut again);
                assert_eq!(again, bytes, "there is one way to write a request");
                Step::Took(len as u64, (seen, words))
            }
        }
    })
}

/// The replies of `stream`, the one that breaks the protocol included.
pub fn read_resp_replies(stream: &[u8], reads: &[usize], limits: &Limits) -> Vec<Seen<resp::ReplyParse>> {
    let mut scan = resp::ReplyScan::default();
    drive(stream, reads, |buf| {
        let seen = scan.scan(buf, limits);
        let reply = match seen {
            resp::ReplyParse::Partial => {
                look_into(buf);
                return Step::Wait;
            }
            resp::ReplyParse::Invalid(_) => return Step::Stop((seen, Vec::new())),
            resp::ReplyParse::Complete { len, .. } => &buf[..len],
        };
        let inside = look_into(reply);
        Step::Took(reply.len() as u64, (seen, inside))
    })
}

/// Takes a reply apart; of a whole one, its elements must make up its end and be as many as it says.
fn look_into(reply: &[u8]) -> Vec<Vec<u8>> {
    let parts = (resp::integer(reply), resp::bulk(reply), resp::error_code(reply));
    let Some((count, elements)) = resp::elements(reply) else {
        return vec![format!("{parts:?}").into_bytes()];
    };
    // A partial reply may announce anything, so nothing is reserved for `count`.
    let elements: Vec<_> = elements.map(<[u8]>::to_vec).collect();
    assert!(elements.len() <= count);
    let whole = resp::ReplyScan::default().scan(reply, &Limits::NONE);
    if matches!(whole, resp::ReplyParse::Complete { len, .. } if len == reply.len()) {
        assert_eq!(elements.len(), count);
        assert!(reply.ends_with(&elements.concat()));
    }
    elements
}

/// The requests of `stream`, up to the one that closes the connection.
pub fn read_memcache_requests(stream: &[u8], reads: &[usize], limits: &Limits) -> Vec<Seen<text::Scan>> {
    let mut scan = text::RequestScan::default();
    let mut args = Args::default();
    drive(stream, reads, |buf| {
        let seen = scan.scan(buf, limits, &mut args);
        match seen {
            text::Scan::Partial => Step::Wait,
            text::Scan::Close(_) => Step::Stop((seen, Vec::new())),
            text::Scan::Refused { skip, .. } => Step::Took(skip, (seen, Vec::new())),
            text::Scan::Complete(request) => {
                let mut words = owned(&args, buf);
                forwards_well(&request, buf, &args);
                words.extend(request.data.map(|data| data.of(buf).to_vec()));
                Step::Took(request.len as u64, (seen, words))
            }
        }
    })
}

/// What is sent on must mean the same, have a reply, and need no further change.
fn forwards_well(request: &text::Request, buf: &[u8], args: &Args) {
    let mut sent = Vec::new();
    memcache::forward(request, buf, args, &mut sent);
    let mut again_args = Args::default();
    let again = text::RequestScan::default().scan(&sent, &Limits::NONE, &mut again_args);
    let text::Scan::Complete(again) = again else { panic!("sent {sent:?}, which reads as {again:?}") };
    assert_eq!(again.len, sent.len());
    assert_eq!(again.verb, request.verb);
    assert_eq!((again.first_key, again.keys), (request.first_key, request.keys));
    assert!(!again.noreply && again.as_is);
    let keys = |args: &Args, buf: &[u8]| {
        let first = request.first_key as usize;
        (first..first + request.keys as usize).map(|at| args.get(at, buf).to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&again_args, &sent), keys(args, buf));
    let data = |data: Option<crate::Span>, buf: &[u8]| data.map(|data| data.of(buf).to_vec());
    assert_eq!(data(again.data, &sent), data(request.data, buf));
}

/// The replies of `stream`, the one that breaks the protocol included.
pub fn read_memcache_replies(
    stream: &[u8],
    reads: &[usize],
    limits: &Limits,
) -> Vec<Seen<memcache::ReplyParse>> {
    let mut scan = memcache::ReplyScan::default();
    drive(stream, reads, |buf| {
        let seen = scan.scan(buf, limits);
        let (reply, kind) = match seen {
            memcache::ReplyParse::Partial => {
                memcache::values(buf).for_each(drop);
                return Step::Wait;
            }
            memcache::ReplyParse::Invalid(_) => return Step::Stop((seen, Vec::new())),
            memcache::ReplyParse::Complete { len, kind } => (&buf[..len], kind),
        };
        let mut values = memcache::values(reply);
        let blocks: Vec<_> = values.by_ref().map(|(_, block)| block.to_vec()).collect();
        assert_eq!([&blocks.concat()[..], values.rest()].concat(), reply);
        if let memcache::ReplyKind::Values { count } = kind {
            assert_eq!((blocks.len(), values.rest()), (count as usize, &b"END\r\n"[..]));
        }
        Step::Took(reply.len() as u64, (seen, blocks))
    })
}

enum Step<E> {
    /// A message of so many bytes, perhaps more than have arrived.
    Took(u64, E),
    /// Come back with more.
    Wait,
    /// Nothing can be read after this.
    Stop(E),
}

/// Feeds `stream` in reads of the given sizes, over and over; all at once where there are none.
fn drive<E>(stream: &[u8], reads: &[usize], mut step: impl FnMut(&[u8]) -> Step<E>) -> Vec<E> {
    let mut seen = Vec::new();
    let mut sizes = reads.iter().cycle();
    let mut start = 0u64;
    let mut received = 0;
    while received < stream.len() {
        let size = sizes.next().map_or(stream.len(), |&size| size.max(1));
        received = received.saturating_add(size).min(stream.len());
        while start < received as u64 {
            match step(&stream[start as usize..received]) {
                Step::Took(len, message) => {
                    assert!(len > 0, "a message has bytes");
                    start += len;
                    seen.push(message);
                }
                Step::Wait => break,
                Step::Stop(message) => {
                    seen.push(message);
                    return seen;
                }
            }
        }
    }
    seen
}

fn owned(args: &Args, bytes: &[u8]) -> Vec<Vec<u8>> {
    args.view(bytes).iter().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests;
