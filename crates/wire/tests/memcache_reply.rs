//! memcached replies, byte by byte.

use wire::Limits;
use wire::memcache::reply::{ReplyError, ReplyKind, ReplyParse, ReplyScan, values};

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
