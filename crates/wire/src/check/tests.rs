//! Reading takes time in proportion to the bytes, counted and not timed.

use super::*;
use crate::scan::work;

/// Every byte may be looked at a few times, and every read may cost a few steps, but no more: a scan
/// that starts again with each read fails by orders of magnitude.
fn linear(what: &str, stream: &[u8], read: usize, go: impl Fn(&[u8], &[usize])) {
    work::take();
    go(stream, &[read]);
    let looked = work::take();
    let reads = (stream.len() / read) as u64;
    let bound = 6 * stream.len() as u64 + 64 * reads + 1000;
    assert!(looked <= bound, "{what}: looked at {looked} bytes of {}, bound {bound}", stream.len());
}

fn only_requests(limits: &Limits) -> impl Fn(&[u8], &[usize]) {
    |stream, reads| {
        let mut scan = request::RequestScan::default();
        let mut args = Args::default();
        let mut whole = 0;
        drive(stream, reads, |buf| match scan.scan(buf, limits, &mut args) {
            request::Scan::Partial => Step::Wait,
            request::Scan::Complete { len, .. } => {
                whole += 1;
                Step::Took(len as u64, ())
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(whole, 1);
    }
}

#[test]
fn redis_requests_are_read_in_linear_time() {
    let limits = Limits::default();
    let mut many = b"*300000\r\n".to_vec();
    (0..300_000).for_each(|n| encode::bulk(format!("key:{n}").as_bytes(), &mut many));
    let mut large = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n".to_vec();
    encode::bulk(&vec![b'\r'; 8 << 20], &mut large);
    let inline = [b"SET k ", &vec![b'x'; 60_000][..], b"\n"].concat();
    for (what, stream, read) in [
        ("many arguments", &many, 16 << 10),
        ("many arguments in small reads", &many, 7),
        ("a large argument", &large, 16 << 10),
        ("an inline request byte by byte", &inline, 1),
    ] {
        linear(what, stream, read, only_requests(&limits));
    }
    let endless = [b"*", &vec![b'1'; 70_000][..]].concat();
    linear("a count line without end", &endless, 1, |stream, reads| {
        let seen = read_resp_requests(stream, reads, &limits);
        assert_eq!(seen[0].0, request::Scan::Invalid(request::ProtocolError::CountTooLong));
    });
}

#[test]
fn redis_replies_are_read_in_linear_time() {
    let limits = Limits::default();
    let deep = [&b"*1\r\n".repeat(300_000)[..], b":1\r\n"].concat();
    let wide = [b"*300000\r\n", &b"$2\r\nab\r\n".repeat(300_000)[..]].concat();
    let mut large = Vec::new();
    encode::bulk(&vec![b'\n'; 8 << 20], &mut large);
    let line = [b"+", &vec![b'x'; 100_000][..], b"\r\n"].concat();
    for (what, stream, read) in [
        ("deep nesting", &deep, 16 << 10),
        ("many elements", &wide, 7),
        ("a large value", &large, 16 << 10),
        ("a long line byte by byte", &line, 1),
    ] {
        linear(what, stream, read, |stream, reads| {
            let mut scan = resp::ReplyScan::default();
            let whole = drive(stream, reads, |buf| match scan.scan(buf, &limits) {
                resp::ReplyParse::Partial => Step::Wait,
                resp::ReplyParse::Complete { len, .. } => Step::Took(len as u64, ()),
                other => panic!("{other:?}"),
            });
            assert_eq!(whole.len(), 1);
        });
    }
}

#[test]
fn memcached_is_read_in_linear_time() {
    let limits = Limits::default();
    let keys = [b"get", &b" some:key".repeat(200_000)[..], b"\r\n"].concat();
    let set = [b"set k 0 0 8388608\r\n", &vec![b'\n'; 8 << 20][..], b"\r\n"].concat();
    // Where the line ended is remembered: here it is long, and its data comes in small pieces.
    let blanks = vec![b' '; 2000];
    let slow_set = [b"set k 0 0 100000", &blanks[..], b"\r\n", &vec![b'x'; 100_000][..], b"\r\n"].concat();
    for (what, stream, read) in [
        ("many keys", &keys, 16 << 10),
        ("many keys in small reads", &keys, 50),
        ("a large set", &set, 1000),
        ("a set in small reads", &slow_set, 10),
    ] {
        linear(what, stream, read, |stream, reads| {
            let mut scan = text::RequestScan::default();
            let mut args = Args::default();
            let whole = drive(stream, reads, |buf| match scan.scan(buf, &limits, &mut args) {
                text::Scan::Partial => Step::Wait,
                text::Scan::Complete(request) => Step::Took(request.len as u64, ()),
                other => panic!("{other:?}"),
            });
            assert_eq!(whole.len(), 1);
        });
    }
    let line = [b"SERVER_ERROR ", &vec![b'x'; 100_000][..], b"\r\n"].concat();
    linear("a long line byte by byte", &line, 1, only_reply(&limits));
    let values = [&b"VALUE k 0 2\r\nhi\r\n".repeat(200_000)[..], b"END\r\n"].concat();
    let stats = [&b"STAT name 1\r\n".repeat(200_000)[..], b"END\r\n"].concat();
    for (what, stream) in [("many values", &values), ("many stats", &stats)] {
        linear(what, stream, 20, only_reply(&limits));
    }
}

fn only_reply(limits: &Limits) -> impl Fn(&[u8], &[usize]) {
    |stream, reads| {
        let mut scan = memcache::ReplyScan::default();
        let whole = drive(stream, reads, |buf| match scan.scan(buf, limits) {
            memcache::ReplyParse::Partial => Step::Wait,
            memcache::ReplyParse::Complete { len, .. } => Step::Took(len as u64, ()),
            other => panic!("{other:?}"),
        });
        assert_eq!(whole.len(), 1);
    }
}
