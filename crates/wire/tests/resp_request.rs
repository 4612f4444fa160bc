//! Redis requests, byte by byte. Verdicts and texts were compared with redis-server 7.0.15.

use wire::check::{read_resp_requests, resp_requests};
use wire::resp::request::{ProtocolError, RequestScan, Scan};
use wire::{Args, Limits};

/// Scans `input` at once: the verdict, and the arguments.
fn scan(input: &[u8]) -> (Scan, Vec<Vec<u8>>) {
    let mut args = Args::default();
    let seen = RequestScan::default().scan(input, &Limits::default(), &mut args);
    let bytes = match seen {
        Scan::Complete { inline: true, .. } => args.canonical(),
        _ => input,
    };
    (seen, args.view(bytes).iter().map(<[u8]>::to_vec).collect())
}

#[test]
fn arrays() {
    let check = |input: &[u8], len: usize, words: &[&[u8]]| {
        let (seen, args) = scan(input);
        assert_eq!(seen, Scan::Complete { len, inline: false }, "{}", input.escape_ascii());
        assert_eq!(args, words);
    };
    check(b"*1\r\n$4\r\nPING\r\n", 14, &[b"PING"]);
    check(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4", 20, &[b"GET", b"k"]);
    check(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", 26, &[b"SET", b"k", b""]);
    check(b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", 24, &[b"ECHO", b"\r\n\r\n"]);
    check(b"*1\r\n$0\r\n\r\n", 10, &[b""]);
}

#[test]
fn nothing_asked() {
    let rows: &[(&[u8], usize)] =
        &[(b"*0\r\nPING", 4), (b"*-1\r\n", 5), (b"*-5\r\n", 5), (b"\r\n", 2), (b"\n", 1), (b" \t \r\n", 5)];
    for &(input, len) in rows {
        assert_eq!(scan(input).0, Scan::Empty { len }, "{}", input.escape_ascii());
    }
}

#[test]
fn unfinished() {
    let request = b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n";
    for end in 0..request.len() {
        let (seen, args) = scan(&request[..end]);
        assert_eq!((seen, args.len()), (Scan::Partial, 0), "{end} bytes");
    }
    // As in redis, a wrong line is not judged before it ends.
    for input in
        [&b"*abc"[..], b"*1\r\nfoo", b"*1\r\n$x\r", b"*1\r\n\0oo", b"PING", b"ECHO \"a", b"*1048576\r\n"]
    {
        assert_eq!(scan(input).0, Scan::Partial, "{}", input.escape_ascii());
    }
}

#[test]
fn a_request_in_pieces_leaves_nothing_behind() {
    let (limits, mut args) = (Limits::default(), Args::default());
    let request = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    for end in 1..request.len() {
        for (next, expected) in [
            (&b"\r\n"[..], Scan::Empty { len: 2 }),
            (b"PING\r\n", Scan::Complete { len: 6, inline: true }),
            (b"*1\r\n$1\r\na\r\n", Scan::Complete { len: 11, inline: false }),
        ] {
            let mut scan = RequestScan::default();
            assert_eq!(scan.scan(&request[..end], &limits, &mut args), Scan::Partial);
            let whole = Scan::Complete { len: request.len(), inline: false };
            assert_eq!(scan.scan(request, &limits, &mut args), whole, "cut at {end}");
            assert_eq!(scan.scan(next, &limits, &mut args), expected, "cut at {end}");
        }
    }
}

#[test]
fn errors() {
    let check = |input: &[u8], text: &str| {
        let Scan::Invalid(error) = scan(input).0 else { panic!("accepted {}", input.escape_ascii()) };
        let text = format!("Protocol error: {text}");
        assert_eq!(error.text(), text.as_bytes(), "{}", input.escape_ascii());
        for read in [1, 1000] {
            let (seen, _) = read_resp_requests(input, &[read], &Limits::default()).pop().expect("a verdict");
            assert_eq!(seen, Scan::Invalid(error));
        }
    };
    for count in ["abc", "", " 1", "+1", "01", "-0", "1048577", "2147483648", "99999999999999999999", "?"] {
        check(format!("*{count}\r\n").as_bytes(), "invalid multibulk length");
    }
    for length in ["abc", "", "-1", "+4", "04", "536870913", "99999999999999999999"] {
        check(format!("*1\r\n${length}\r\n").as_bytes(), "invalid bulk length");
    }
    check(b"*3\r\n:1\r\n", "expected '$', got ':'");
    check(b"*1\r\nfoo\r\n", "expected '$', got 'f'");
    check(b"*1\r\n\r\n", "expected '$', got ' '");
    check(b"*1\r\n\noo\r\n", "expected '$', got ' '");
    check(b"*1\r\n$4\r\nPINGxx", "expected CRLF after argument");
    check(b"*1\rx", "invalid multibulk length");
    check(b"*1\r\n$4\rx", "invalid bulk length");
    for line in
        [&b"SET a \"x\r\n"[..], b"SET a \"x\"y\r\n", b"SET a 'x\n", b"SET a 'x'y\r\n", b"ECHO \"a\\\r\n"]
    {
        check(line, "unbalanced quotes in request");
    }
    check(&vec![b'x'; 65_537], "too big inline request");
    check(&[b"*", &vec![b'1'; 65_536][..]].concat(), "too big mbulk count string");
    check(&[b"*1\r\n$", &vec![b'1'; 65_536][..]].concat(), "too big bulk count string");
    assert_eq!(&*ProtocolError::ExpectedDollar(0xff).text(), b"Protocol error: expected '$', got '\xff'");
}

#[test]
fn one_byte_below_the_bounds() {
    assert_eq!(scan(&vec![b'x'; 65_536]).0, Scan::Partial);
    assert_eq!(scan(&[b"*", &vec![b'1'; 65_535][..]].concat()).0, Scan::Partial);
    let line = [&vec![b'x'; 65_536][..], b"\n"].concat();
    assert_eq!(scan(&line).0, Scan::Complete { len: 65_537, inline: true });
    assert_eq!(scan(b"*1\r\n$536870912\r\n").0, Scan::Partial);
}

#[test]
fn a_whole_request_is_bounded_before_its_bytes_arrive() {
    let limits = Limits { request_bytes: 30, ..Limits::default() };
    let mut args = Args::default();
    let mut check = |input: &[u8]| RequestScan::default().scan(input, &limits, &mut args);
    assert_eq!(check(b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n"), Scan::Complete { len: 30, inline: false });
    assert_eq!(check(b"*2\r\n$3\r\nGET\r\n$11\r\n"), Scan::Invalid(ProtocolError::RequestTooBig));
}

#[test]
fn inline() {
    let check = |input: &[u8], words: &[&[u8]]| {
        let (seen, args) = scan(input);
        let len = input.len();
        assert_eq!(seen, Scan::Complete { len, inline: true }, "{}", input.escape_ascii());
        assert_eq!(args, words, "{}", input.escape_ascii());
    };
    check(b"PING\r\n", &[b"PING"]);
    check(b"PING\n", &[b"PING"]);
    check(b"PING\r\r\n", &[b"PING"]);
    check(b"  GET \t k \r\n", &[b"GET", b"k"]);
    check(b"\x0bECHO a\x0bb\r\n", &[b"ECHO", b"a\x0bb"]);
    check(b"SET a \"\\x41\\n\\q\\xzz\"\r\n", &[b"SET", b"a", b"A\nqxzz"]);
    check(b"SET a \"\\r\\t\\b\\a\\\\\\\"\"\r\n", &[b"SET", b"a", b"\r\t\x08\x07\\\""]);
    check(b"ECHO \"\\xFf\\x0a\"\r\n", &[b"ECHO", b"\xff\n"]);
    check(b"SET a 'x\\'y'\r\n", &[b"SET", b"a", b"x'y"]);
    check(b"ECHO 'a\\nb'\r\n", &[b"ECHO", b"a\\nb"]);
    check(b"SET a fo\"o b\"\r\n", &[b"SET", b"a", b"foo b"]);
    check(b"ECHO \"\" ''\r\n", &[b"ECHO", b"", b""]);
    check(b"GET a\0b\r\n", &[b"GET", b"a\0b"]);
    check(b"$1\r\n", &[b"$1"]);
}

#[test]
fn inline_is_written_as_an_array() {
    let mut args = Args::default();
    let mut scan = RequestScan::default();
    scan.scan(b"SET k 'a b'\r\n", &Limits::default(), &mut args);
    assert_eq!(args.canonical(), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na b\r\n");
    assert_eq!(args.get(2, args.canonical()), b"a b");
    scan.scan(b"*1\r\n$4\r\nPING\r\n", &Limits::default(), &mut args);
    assert_eq!(args.canonical(), b"", "nothing is left of the one before");
}

#[test]
fn a_pipeline_in_small_reads() {
    let stream =
        b"*1\r\n$4\r\nPING\r\n\r\nGET a\r\n*0\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n*x\r\n*1\r\n$4\r\nPING\r\n";
    let seen = read_resp_requests(stream, &[3], &Limits::default());
    let verdicts: Vec<_> = seen.iter().map(|(scan, _)| *scan).collect();
    assert_eq!(
        verdicts,
        [
            Scan::Complete { len: 14, inline: false },
            Scan::Empty { len: 2 },
            Scan::Complete { len: 7, inline: true },
            Scan::Empty { len: 4 },
            Scan::Complete { len: 20, inline: false },
            Scan::Invalid(ProtocolError::MultibulkLength),
        ]
    );
    assert_eq!(seen[4].1, [b"GET".to_vec(), b"b".to_vec()]);
}

#[test]
fn very_many_arguments_are_looked_at_once() {
    let many = |count: usize| {
        let mut stream = format!("*{count}\r\n").into_bytes();
        (0..count)
            .for_each(|n| stream.extend(format!("${}\r\n{}\r\n", n % 11, &"0123456789"[..n % 11]).bytes()));
        stream
    };
    // Whole ones, one behind another; then what is none, in the middle of one.
    let good = [many(3000), many(5), many(1500)].concat();
    let at = good.len() - 100;
    let bad = [&good[..at], b"x"].concat();
    for stream in [good, bad] {
        for reads in [&[1][..], &[7, 50_000, 1], &[64], &[4096, 3]] {
            resp_requests(&stream, reads, &Limits::default());
        }
    }
    // So many that finding them again would be seen.
    let stream = many(200_000);
    let (mut scan, mut args) = (RequestScan::default(), Args::default());
    let (len, limits) = (stream.len(), Limits::default());
    assert_eq!(scan.scan(&stream[..1000], &limits, &mut args), Scan::Partial);
    assert_eq!(scan.scan(&stream[..len - 1], &limits, &mut args), Scan::Partial);
    assert!(args.is_empty() && scan.room() > 200_000, "they are kept");
    assert_eq!(scan.scan(&stream, &limits, &mut args), Scan::Complete { len, inline: false });
    assert_eq!((args.len(), args.get(199_999, &stream), scan.room()), (200_000, &b"01234567"[..], 0));
    assert_eq!(scan.scan(&stream[..1000], &limits, &mut args), Scan::Partial);
    assert!(scan.room() > 0);
    scan.forget();
    assert_eq!(scan.room(), 0);
}
