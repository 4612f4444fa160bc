//! memcached replies, byte by byte.

use wire::Limits;
use wire::memcache::reply::{KEY_AT, Piece, ReplyError, ReplyKind, ReplyParse, ReplyScan, values};

#[test]
fn every_kind() {
    let rows: &[(&[u8], ReplyKind)] = &[
        (b"STORED\r\n", ReplyKind::Stored),
        (b"NOT_STORED\r\n", ReplyKind::NotStored),
        (b"EXISTS\r\n", ReplyKind::Exists),
        (b"NOT_FOUND\r\n", ReplyKind::NotFound),
        (b"DELETED\r\n", ReplyKind::Deleted),
        (b"TOUCHED\r\n", ReplyKind::Touched),
        (b"OK\r\n", ReplyKind::Ok),
        (b"RESET\r\n", ReplyKind::Reset),
        (b"END\r\n", ReplyKind::End),
        (b"0\r\n", ReplyKind::Number),
        (b"18446744073709551615\r\n", ReplyKind::Number),
        (b"9  \r\n", ReplyKind::Number),
        (b"VERSION 1.6.18\r\n", ReplyKind::Version),
        (b"ERROR\r\n", ReplyKind::Error),
        (b"ERROR: shutdown not enabled\r\n", ReplyKind::Error),
        (b"CLIENT_ERROR bad data chunk\r\n", ReplyKind::ClientError),
        (b"SERVER_ERROR out of memory storing object\r\n", ReplyKind::ServerError),
        (b"BUSY currently processing\r\n", ReplyKind::Other),
        (b"\r\n", ReplyKind::Other),
        (b"VALUE k 0 2\r\nhi\r\nEND\r\n", ReplyKind::Values { count: 1 }),
        (b"VALUE k 0 5 77\r\nEND\r\n\r\nEND\r\n", ReplyKind::Values { count: 1 }),
        (b"VALUE a 0 0\r\n\r\nVALUE a 4294967296 1\r\nx\r\nEND\r\n", ReplyKind::Values { count: 2 }),
        (b"VALUE k 0 2\r\nhi\r\nSERVER_ERROR out of memory\r\n", ReplyKind::ServerError),
        (b"VALUE k 0 2\r\nhi\r\nERROR\r\n", ReplyKind::Error),
        (b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n", ReplyKind::Stats),
        (b"ITEM k [1 b; 0 s]\r\nEND\r\n", ReplyKind::Stats),
        (b"STAT pid 1\r\nSERVER_ERROR x\r\n", ReplyKind::ServerError),
    ];
    for &(reply, kind) in rows {
        let expected = ReplyParse::Complete { len: reply.len(), kind };
        let name = reply.escape_ascii().to_string();
        let limits = Limits::default();
        let mut resumed = ReplyScan::default();
        for end in 0..reply.len() {
            assert_eq!(
                ReplyScan::default().scan(&reply[..end], &limits),
                ReplyParse::Partial,
                "{name} {end}"
            );
            assert_eq!(resumed.scan(&reply[..end], &limits), ReplyParse::Partial, "{name}, {end}");
        }
        assert_eq!(resumed.scan(reply, &limits), expected, "{name} byte by byte");
        let more = [reply, b"END\r\n"].concat();
        assert_eq!(resumed.scan(&more, &limits), expected, "{name} and more");
    }
}

#[test]
fn errors() {
    let limits = Limits { reply_bytes: 40, reply_line_bytes: 20, ..Limits::default() };
    let rows: &[(&[u8], ReplyError)] = &[
        (b"OK\n", ReplyError::LineEnd),
        (b"VALUE k 0\r\n", ReplyError::Value),
        (b"VALUE k 0 x\r\n", ReplyError::Value),
        (b"VALUE k 0 -1\r\n", ReplyError::Value),
        (b"VALUE \r\n", ReplyError::Value),
        (b"VALUE k 0 2\r\nhello\r\n", ReplyError::DataEnd),
        (b"VALUE k 0 2\r\nhi\r\nSTORED\r\n", ReplyError::Line),
        (b"VALUE k 0 2\r\nhi\r\nSTAT a 1\r\n", ReplyError::Line),
        (b"STAT a 1\r\nVALUE k 0 2\r\n", ReplyError::Line),
        (b"VALUE k 0 26\r\n", ReplyError::TooLarge),
        (b"VALUE k 0 99999999999\r\n", ReplyError::LineTooLong),
        (b"VALUE k 0 999999999\r\n", ReplyError::TooLarge),
        (b"STAT abc 1\r\nSTAT abc 1\r\nSTAT abc 1\r\nSTAT abc 1\r\n", ReplyError::TooLarge),
        (b"0123456789012345678901", ReplyError::LineTooLong),
    ];
    for &(reply, error) in rows {
        let seen = ReplyScan::default().scan(reply, &limits);
        assert_eq!(seen, ReplyParse::Invalid(error), "{}", reply.escape_ascii());
    }
}

#[test]
fn blocks_of_values() {
    let reply = b"VALUE a 0 3\r\nx\r\n\r\nVALUE bb 5 0 99\r\n\r\nEND\r\n";
    let mut blocks = values(reply);
    assert_eq!(blocks.next(), Some((&b"a"[..], &b"VALUE a 0 3\r\nx\r\n\r\n"[..])));
    assert_eq!(blocks.next(), Some((&b"bb"[..], &b"VALUE bb 5 0 99\r\n\r\n"[..])));
    assert_eq!(blocks.next(), None);
    assert_eq!(blocks.rest(), b"END\r\n");
    assert_eq!(values(b"END\r\n").count(), 0);
    assert_eq!(values(b"VALUE a 0 3\r\nx").count(), 0, "an unfinished block is none");
    assert_eq!(values(b"VALUE a 0 18446744073709551615\r\nx").count(), 0);
}

/// A key, and its whole block.
type Block = (Vec<u8>, Vec<u8>);

/// Takes a reply to a get piece by piece, `step` more bytes at a time: the pieces, and why it ends.
fn pieces(reply: &[u8], step: usize, limits: &Limits) -> (Vec<Block>, Piece) {
    let (mut scan, mut found) = (ReplyScan::default(), Vec::new());
    let (mut at, mut here) = (0, 0);
    loop {
        match scan.piece(&reply[at..here], limits) {
            Piece::Value { len, key_end } => {
                let block = &reply[at..at + len];
                found.push((block[KEY_AT..key_end].to_vec(), block.to_vec()));
                at += len;
            }
            Piece::Partial if here < reply.len() => {
                here = (here + step).min(reply.len());
            }
            end => return (found, end),
        }
    }
}

#[test]
fn pieces_are_those_of_the_whole_reply() {
    let limits = Limits::default();
    let blocks: &[&[u8]] = &[
        b"VALUE a 0 1\r\nx\r\n",
        b"VALUE a:long:key:of:many:bytes 4294967295 5 77\r\nEND\r\n\r\n",
        b"VALUE b 1 0\r\n\r\n",
    ];
    for last in [&b"END\r\n"[..], b"SERVER_ERROR out of memory\r\n", b"ERROR\r\n", b"CLIENT_ERROR bad\r\n"] {
        for picked in 0..8 {
            let picked: Vec<&[u8]> =
                (0..3).filter(|bit| picked >> bit & 1 == 1).map(|bit| blocks[bit]).collect();
            let reply = [&picked.concat(), last].concat();
            for step in 1..=reply.len() {
                let (found, end) = pieces(&reply, step, &limits);
                assert_eq!(end, Piece::Last { len: last.len() }, "{}", reply.escape_ascii());
                let whole: Vec<_> =
                    values(&reply).map(|(key, block)| (key.to_vec(), block.to_vec())).collect();
                assert_eq!(found, whole, "{} by {step}", reply.escape_ascii());
            }
        }
    }
}

#[test]
fn what_is_no_piece_of_a_reply_to_a_get_is_refused() {
    let limits = Limits { reply_bytes: 40, reply_line_bytes: 30, ..Limits::default() };
    let rows: &[(&[u8], ReplyError)] = &[
        (b"STORED\r\n", ReplyError::Line),
        (b"STAT a b\r\nEND\r\n", ReplyError::Line),
        (b"12\r\n", ReplyError::Line),
        (b"VALUE a 0 1\r\nxx\r\n", ReplyError::DataEnd),
        (b"VALUE a 0 x\r\n", ReplyError::Value),
        (b"VALUE a 0 40\r\n", ReplyError::TooLarge),
        (b"VALUE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0 1\r\n", ReplyError::LineTooLong),
        (b"END\n", ReplyError::LineEnd),
    ];
    for (bytes, error) in rows {
        for step in [1, bytes.len()] {
            let (_, end) = pieces(bytes, step, &limits);
            assert_eq!(end, Piece::Invalid(*error), "{} by {step}", bytes.escape_ascii());
        }
    }
}

#[test]
fn a_large_piece_is_passed_on_and_the_next_one_follows() {
    let limits = Limits::default();
    let (mut scan, mut passed) = (ReplyScan::default(), 0);
    let large = [&b"VALUE k 0 300\r\n"[..], &[b'x'; 300], b"\r\n"].concat();
    let reply = [&large[..], b"VALUE l 0 1\r\ny\r\nEND\r\n"].concat();
    for end in (20..large.len()).step_by(7) {
        assert_eq!(scan.piece(&reply[passed..end], &limits), Piece::Partial, "{end}");
        passed += scan.pass(end - passed);
    }
    let rest = &reply[passed..];
    let len = large.len() - passed;
    assert_eq!(scan.piece(rest, &limits), Piece::Value { len, key_end: 0 }, "its key is passed on already");
    assert_eq!(scan.piece(&rest[len..], &limits), Piece::Value { len: 16, key_end: 7 });
    assert_eq!(scan.piece(&rest[len + 16..], &limits), Piece::Last { len: 5 });
}
