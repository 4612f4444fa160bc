//! Letting messages pass piece by piece must find the same ends, and the same faults, as reading them whole.

use super::{read_memcache_replies, read_memcache_requests, read_resp_replies, read_resp_requests};
use crate::memcache::{self, text};
use crate::resp::{self, request};
use crate::{Args, Limits};

/// Where messages end, and whether something that is none came after them.
type Ends = (Vec<u64>, bool);

/// Lets redis requests pass.
pub(super) fn resp_requests(stream: &[u8], reads: &[usize], limits: &Limits) {
    let whole = read_resp_requests(stream, &[], limits);
    let ends = ends(whole.iter().map(|(seen, _)| match seen {
        request::Scan::Complete { len, .. } | request::Scan::Empty { len } => Some(*len as u64),
        request::Scan::Partial | request::Scan::Invalid(_) => None,
    }));
    let (mut scan, mut args, mut passing) = (request::RequestScan::default(), Args::default(), false);
    let mut number = 0;
    let passed = drive(stream, reads, |buf| {
        if !passing {
            match scan.scan(buf, limits, &mut args) {
                request::Scan::Complete { len, .. } | request::Scan::Empty { len } => {
                    number += 1;
                    return Step::End(len);
                }
                request::Scan::Invalid(_) => return Step::Fault,
                request::Scan::Partial if scan.announced() <= buf.len() => return Step::Wait,
                request::Scan::Partial => {
                    let count = request::RequestScan::begun(buf, 2, &mut args);
                    assert!(count.is_some_and(|count| args.len() < count), "{count:?}");
                    if let Some((_, words)) = whole.get(number) {
                        let first: Vec<_> = args.view(buf).iter().map(<[u8]>::to_vec).collect();
                        assert!(words.is_empty() || words.starts_with(&first));
                    }
                    passing = true;
                }
            }
        }
        match scan.rest(buf, limits) {
            request::Rest::Complete(len) => {
                passing = false;
                number += 1;
                Step::End(len)
            }
            request::Rest::Partial(count) => Step::Passed(count),
            request::Rest::Invalid(_) => Step::Fault,
        }
    });
    assert_eq!(passed, ends, "in reads of {reads:?}");
}

/// Lets redis replies pass.
pub(super) fn resp_replies(stream: &[u8], reads: &[usize], limits: &Limits) {
    let ends = ends(read_resp_replies(stream, &[], limits).iter().map(|(seen, _)| match seen {
        resp::ReplyParse::Complete { len, .. } => Some(*len as u64),
        resp::ReplyParse::Partial | resp::ReplyParse::Invalid(_) => None,
    }));
    let mut scan = resp::ReplyScan::default();
    let passed = drive(stream, reads, |buf| match scan.scan(buf, limits) {
        resp::ReplyParse::Complete { len, .. } => Step::End(len),
        resp::ReplyParse::Invalid(_) => Step::Fault,
        resp::ReplyParse::Partial => Step::Passed(scan.pass(buf.len())),
    });
    assert_eq!(passed, ends, "in reads of {reads:?}");
}

/// Lets memcached requests pass.
pub(super) fn memcache_requests(stream: &[u8], reads: &[usize], limits: &Limits) {
    let ends = ends(read_memcache_requests(stream, &[], limits).iter().map(|(seen, _)| match seen {
        text::Scan::Complete(request) => Some(request.len as u64),
        text::Scan::Refused { skip, .. } => Some(*skip),
        text::Scan::Partial | text::Scan::Close(_) => None,
    }));
    let (mut scan, mut args, mut passing) = (text::RequestScan::default(), Args::default(), false);
    let passed = drive(stream, reads, |buf| {
        if passing {
            return match scan.rest(buf) {
                text::Rest::Complete(len) | text::Rest::BadData(len) => {
                    passing = false;
                    Step::End(len)
                }
                text::Rest::Partial(count) => Step::Passed(count),
            };
        }
        match scan.scan(buf, limits, &mut args) {
            text::Scan::Complete(request) => Step::End(request.len),
            text::Scan::Refused { skip, .. } => Step::End(usize::try_from(skip).unwrap_or(usize::MAX)),
            text::Scan::Close(_) => Step::Fault,
            text::Scan::Partial if scan.announced() <= buf.len() => Step::Wait,
            text::Scan::Partial => {
                let request = scan.begun(buf, limits, &mut args).expect("its line is known");
                assert!(request.data.is_none() || request.len >= request.line_end);
                scan.pass_line(request.line_end);
                passing = true;
                Step::Passed(request.line_end)
            }
        }
    });
    assert_eq!(passed, ends, "in reads of {reads:?}");
}

/// Lets memcached replies pass.
pub(super) fn memcache_replies(stream: &[u8], reads: &[usize], limits: &Limits) {
    let ends = ends(read_memcache_replies(stream, &[], limits).iter().map(|(seen, _)| match seen {
        memcache::ReplyParse::Complete { len, .. } => Some(*len as u64),
        memcache::ReplyParse::Partial | memcache::ReplyParse::Invalid(_) => None,
    }));
    let mut scan = memcache::ReplyScan::default();
    let passed = drive(stream, reads, |buf| match scan.scan(buf, limits) {
        memcache::ReplyParse::Complete { len, .. } => Step::End(len),
        memcache::ReplyParse::Invalid(_) => Step::Fault,
        memcache::ReplyParse::Partial => Step::Passed(scan.pass(buf.len())),
    });
    assert_eq!(passed, ends, "in reads of {reads:?}");
}

fn ends(lengths: impl Iterator<Item = Option<u64>>) -> Ends {
    let (mut ends, mut at) = (Vec::new(), 0u64);
    for length in lengths {
        let Some(length) = length else { return (ends, true) };
        at += length;
        ends.push(at);
    }
    (ends, false)
}

enum Step {
    /// The message ends so many bytes on, perhaps more than have arrived.
    End(usize),
    /// So many bytes are done with; more are needed.
    Passed(usize),
    /// More are needed.
    Wait,
    /// Not a message.
    Fault,
}

/// Feeds `stream` in reads of the given sizes, each step seeing what was not passed before.
fn drive(stream: &[u8], reads: &[usize], mut step: impl FnMut(&[u8]) -> Step) -> Ends {
    let mut sizes = reads.iter().cycle();
    let (mut at, mut received, mut ends) = (0u64, 0, Vec::new());
    while received < stream.len() {
        let size = sizes.next().map_or(stream.len(), |&size| size.max(1));
        received = received.saturating_add(size).min(stream.len());
        while at < received as u64 {
            match step(&stream[at as usize..received]) {
                Step::End(len) => {
                    at += len as u64;
                    ends.push(at);
                }
                Step::Passed(count) => {
                    at += count as u64;
                    if count == 0 {
                        break;
                    }
                }
                Step::Wait => break,
                Step::Fault => return (ends, true),
            }
        }
    }
    (ends, false)
}
