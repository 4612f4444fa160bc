//! Redis replies, byte by byte, and what is written.

use wire::Limits;
use wire::resp::reply::{ReplyError, ReplyKind, ReplyParse, ReplyScan};
use wire::resp::{bulk, elements, encode, error_code, integer};

fn scan(input: &[u8]) -> ReplyParse {
    ReplyScan::default().scan(input, &Limits::default())
}

#[test]
fn every_type() {
    let rows: &[(&[u8], ReplyKind)] = &[
        (b"+OK\r\n", ReplyKind::Simple),
        (b"+\r\n", ReplyKind::Simple),
        (b"+a\rb\r\n", ReplyKind::Simple),
        (b"-ERR no\r\n", ReplyKind::Error),
        (b":1000\r\n", ReplyKind::Integer),
        (b":-9223372036854775808\r\n", ReplyKind::Integer),
        (b":+7\r\n", ReplyKind::Integer),
        (b"$5\r\nhe\r\no\r\n", ReplyKind::Bulk),
        (b"$0\r\n\r\n", ReplyKind::Bulk),
        (b"$-1\r\n", ReplyKind::Null),
        (b"*-1\r\n", ReplyKind::Null),
        (b"_\r\n", ReplyKind::Null),
        (b"*0\r\n", ReplyKind::Array),
        (b"*2\r\n$1\r\na\r\n$-1\r\n", ReplyKind::Array),
        (b"*2\r\n*1\r\n:1\r\n*-1\r\n", ReplyKind::Array),
        (b"%1\r\n+k\r\n*1\r\n:1\r\n", ReplyKind::Map),
        (b"~2\r\n:1\r\n:2\r\n", ReplyKind::Set),
        (b",1.5\r\n", ReplyKind::Double),
        (b",-inf\r\n", ReplyKind::Double),
        (b"(3492890328409238509324850943850943825024385\r\n", ReplyKind::BigNumber),
        (b"#t\r\n", ReplyKind::Boolean),
        (b"=8\r\ntxt:text\r\n", ReplyKind::Verbatim),
        (b"!8\r\nERR a\r\nb\r\n", ReplyKind::BulkError),
        (b">2\r\n+message\r\n$1\r\nx\r\n", ReplyKind::Push),
        (b"|1\r\n+ttl\r\n:9\r\n$1\r\nv\r\n", ReplyKind::Bulk),
        (b"|1\r\n+a\r\n*1\r\n:1\r\n|1\r\n+b\r\n%0\r\n*1\r\n_\r\n", ReplyKind::Array),
        (b"|0\r\n:1\r\n", ReplyKind::Integer),
        (b"*1\r\n|1\r\n+a\r\n+b\r\n:1\r\n", ReplyKind::Array),
    ];
    for &(reply, kind) in rows {
        let expected = ReplyParse::Complete { len: reply.len(), kind };
        let name = reply.escape_ascii().to_string();
        assert_eq!(scan(reply), expected, "{name}");
        assert_eq!(scan(&[reply, b"+OK\r\n"].concat()), expected, "{name} and more");
        let mut resumed = ReplyScan::default();
        for end in 0..reply.len() {
            assert_eq!(scan(&reply[..end]), ReplyParse::Partial, "{name}, {end} bytes");
            assert_eq!(resumed.scan(&reply[..end], &Limits::default()), ReplyParse::Partial);
        }
        assert_eq!(resumed.scan(reply, &Limits::default()), expected, "{name} byte by byte");
    }
}

#[test]
fn errors() {
    let rows: &[(&[u8], ReplyError)] = &[
        (b"x", ReplyError::Type(b'x')),
        (b"\r\n", ReplyError::Type(b'\r')),
        (b"*1\r\nHTTP", ReplyError::Type(b'H')),
        (b"+OK\n", ReplyError::LineEnd),
        (b":1\n", ReplyError::LineEnd),
        (b":\r\n", ReplyError::Number),
        (b":1x\r\n", ReplyError::Number),
        (b":9223372036854775808\r\n", ReplyError::Number),
        (b"$-2\r\n", ReplyError::Number),
        (b"$01\r\n", ReplyError::Number),
        (b"*x\r\n", ReplyError::Number),
        (b"%-1\r\n", ReplyError::Number),
        (b"=-1\r\n", ReplyError::Number),
        (b"#x\r\n", ReplyError::Number),
        (b"_x\r\n", ReplyError::Number),
        (b"$1\r\nabc", ReplyError::PayloadEnd),
        (b"$536936448\r\n", ReplyError::TooLarge),
        (b"$999999999999999999\r\n", ReplyError::TooLarge),
        (b"*999999999999999999\r\n", ReplyError::TooLarge),
        (b"%999999999999999999\r\n", ReplyError::TooLarge),
        (b"%9223372036854775807\r\n", ReplyError::TooLarge),
        (b"|999999999999999999\r\n", ReplyError::TooLarge),
        (b"$?\r\n", ReplyError::Streamed),
        (b"*?\r\n", ReplyError::Streamed),
        (b"%?\r\n", ReplyError::Streamed),
        (b"~?\r\n", ReplyError::Streamed),
        (b";4\r\n", ReplyError::Streamed),
        (b".\r\n", ReplyError::Streamed),
    ];
    for &(reply, error) in rows {
        assert_eq!(scan(reply), ReplyParse::Invalid(error), "{}", reply.escape_ascii());
    }
}

#[test]
fn bounds() {
    let limits = Limits { reply_bytes: 20, reply_line_bytes: 8, ..Limits::default() };
    let check = |reply: &[u8], expected| assert_eq!(ReplyScan::default().scan(reply, &limits), expected);
    let complete = |len, kind| ReplyParse::Complete { len, kind };
    check(b"+12345678\r\n", complete(11, ReplyKind::Simple));
    check(b"+123456789\r", ReplyParse::Invalid(ReplyError::LineTooLong));
    check(b"$13\r\n0123456789012\r\n", complete(20, ReplyKind::Bulk));
    check(b"$14\r\n", ReplyParse::Invalid(ReplyError::TooLarge));
    check(b"*5\r\n_\r\n_\r\n_\r\n_\r\n_\r\n", complete(19, ReplyKind::Array));
    check(b"*6\r\n", ReplyParse::Invalid(ReplyError::TooLarge));
    check(b"*2\r\n$4\r\nabcd\r\n+12345\r\n", ReplyParse::Invalid(ReplyError::TooLarge));
    check(b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", ReplyParse::Invalid(ReplyError::TooLarge));
}

#[test]
fn looking_inside() {
    assert_eq!(integer(b":-12\r\n"), Some(-12));
    assert_eq!(integer(b"|1\r\n+a\r\n*1\r\n+b\r\n:7\r\n"), Some(7));
    assert_eq!(integer(b"+7\r\n"), None);
    assert_eq!(integer(b":7"), None);
    assert_eq!(error_code(b"-MOVED 1 a:1\r\n"), b"MOVED");
    assert_eq!(error_code(b"-ERR\r\n"), b"ERR");
    assert_eq!(error_code(b"!7\r\nERR a b\r\n"), b"ERR");
    assert_eq!(error_code(b"+ERR x\r\n"), b"");
    assert_eq!(bulk(b"$2\r\nhi\r\n"), Some(&b"hi"[..]));
    assert_eq!(bulk(b"$0\r\n\r\n"), Some(&b""[..]));
    assert_eq!(bulk(b"$-1\r\n"), None);
    assert_eq!(bulk(b"$9\r\nhi\r\n"), None);

    let check = |reply: &[u8], expected: &[&[u8]]| {
        let (count, found) = elements(reply).expect("an aggregate");
        assert_eq!(count, expected.len());
        assert_eq!(found.collect::<Vec<_>>(), expected);
    };
    check(b"*0\r\n", &[]);
    check(b"*3\r\n:1\r\n*1\r\n+a\r\n$-1\r\n", &[b":1\r\n", b"*1\r\n+a\r\n", b"$-1\r\n"]);
    check(b"%1\r\n+k\r\n%1\r\n+a\r\n+b\r\n", &[b"+k\r\n", b"%1\r\n+a\r\n+b\r\n"]);
    check(b"*1\r\n|1\r\n+a\r\n+b\r\n:1\r\n", &[b"|1\r\n+a\r\n+b\r\n:1\r\n"]);
    check(b"|1\r\n+a\r\n+b\r\n*1\r\n:1\r\n", &[b":1\r\n"]);
    for reply in [&b"$1\r\na\r\n"[..], b"*-1\r\n", b"_\r\n", b"", b"*", b"%9999999999999999999\r\n"] {
        assert!(elements(reply).is_none(), "{}", reply.escape_ascii());
    }
    let (count, found) = elements(b"*3\r\n:1\r\nxx").expect("an aggregate");
    assert_eq!((count, found.count()), (3, 1), "a broken reply ends early");
}

#[test]
fn writing() {
    let check = |write: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut out = b"before|".to_vec();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("before|{expected}"));
    };
    check(&|out| encode::simple(b"OK", out), "+OK\r\n");
    check(&|out| encode::error(b"ERR a\r\nb", out), "-ERR a  b\r\n");
    check(&|out| encode::integer(0, out), ":0\r\n");
    check(&|out| encode::integer(-15, out), ":-15\r\n");
    check(&|out| encode::integer(i64::MIN, out), ":-9223372036854775808\r\n");
    check(&|out| encode::integer(i64::MAX, out), ":9223372036854775807\r\n");
    check(&|out| encode::decimal(u64::MAX, out), "18446744073709551615");
    check(&|out| encode::bulk(b"a\r\n", out), "$3\r\na\r\n\r\n");
    check(&|out| encode::null(false, out), "$-1\r\n");
    check(&|out| encode::null(true, out), "_\r\n");
    check(&|out| encode::null_array(false, out), "*-1\r\n");
    check(&|out| encode::null_array(true, out), "_\r\n");
    check(&|out| encode::array_header(10, out), "*10\r\n");
    check(&|out| encode::map_header(2, false, out), "*4\r\n");
    check(&|out| encode::map_header(2, true, out), "%2\r\n");
    check(&|out| encode::set_header(2, false, out), "*2\r\n");
    check(&|out| encode::set_header(2, true, out), "~2\r\n");
    check(&|out| encode::push_header(2, true, out), ">2\r\n");
    check(&|out| encode::request([&b"GET"[..], b""], out), "*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
}
