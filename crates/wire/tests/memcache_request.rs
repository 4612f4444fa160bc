//! memcached requests, byte by byte. Texts and what is swallowed were compared with memcached 1.6.18, apart
//! from what the proxy does on purpose: it swallows the data of a refused storage command.

use wire::check::read_memcache_requests;
use wire::memcache::refusal::{CloseReason, Refusal};
use wire::memcache::text::{Request, RequestScan, Scan};
use wire::memcache::verb::Verb;
use wire::memcache::{encode, forward};
use wire::{Args, Limits};

fn scan(input: &[u8], args: &mut Args) -> Scan {
    RequestScan::default().scan(input, &Limits::default(), args)
}

/// Scans a request that must be complete.
fn request(input: &[u8], args: &mut Args) -> Request {
    match scan(input, args) {
        Scan::Complete(request) => request,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

#[test]
fn accepted() {
    let check = |input: &str, verb, keys: &[&str], sent: &str| {
        let mut args = Args::default();
        let mut out = Vec::new();
        let request = request(input.as_bytes(), &mut args);
        let first = request.first_key as usize;
        let found: Vec<_> =
            (0..request.keys as usize).map(|at| args.get(first + at, input.as_bytes())).collect();
        assert_eq!((request.verb, request.len), (verb, input.len()), "{input:?}");
        assert_eq!(found, keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>(), "{input:?}");
        forward(&request, input.as_bytes(), &args, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), if sent.is_empty() { input } else { sent });
        request.noreply
    };
    // Sent as they came.
    assert!(!check("get k\r\n", Verb::Get, &["k"], ""));
    assert!(!check("get  k1  k2 \r\n", Verb::Get, &["k1", "k2"], ""));
    assert!(!check("gets a a noreply\r\n", Verb::Gets, &["a", "a", "noreply"], ""));
    assert!(!check("gat -1 k1 k2\r\n", Verb::Gat, &["k1", "k2"], ""));
    assert!(!check("gats 0 k\r\n", Verb::Gats, &["k"], ""));
    assert!(!check("set k 0 0 2\r\nhi\r\n", Verb::Set, &["k"], ""));
    assert!(!check("set k 18446744073709551615 -5 0\r\n\r\n", Verb::Set, &["k"], ""));
    assert!(!check("add k +1 +5 +02\r\nhi\r\n", Verb::Add, &["k"], ""));
    assert!(!check("set k 0 2147483648 4\r\n\r\n\r\n\r\n", Verb::Set, &["k"], ""));
    assert!(!check("replace k 0 0 1\r\nx\r\n", Verb::Replace, &["k"], ""));
    assert!(!check("append k 0 0 1\r\nx\r\n", Verb::Append, &["k"], ""));
    assert!(!check("prepend k 0 0 1\r\nx\r\n", Verb::Prepend, &["k"], ""));
    assert!(!check("cas k 0 0 1 18446744073709551615\r\nx\r\n", Verb::Cas, &["k"], ""));
    assert!(!check("incr k 5\r\n", Verb::Incr, &["k"], ""));
    assert!(!check("decr k 18446744073709551615\r\n", Verb::Decr, &["k"], ""));
    assert!(!check("touch k -1\r\n", Verb::Touch, &["k"], ""));
    assert!(!check("delete k\r\n", Verb::Delete, &["k"], ""));
    assert!(!check("delete noreply\r\n", Verb::Delete, &["noreply"], ""));
    assert!(!check("version\r\n", Verb::Version, &[], ""));
    assert!(!check("verbosity 1\r\n", Verb::Verbosity, &[], ""));
    assert!(!check("flush_all\r\n", Verb::FlushAll, &[], ""));
    assert!(!check("flush_all -1\r\n", Verb::FlushAll, &[], ""));
    assert!(!check("stats items x\r\n", Verb::Stats, &[], ""));
    assert!(!check("quit\r\n", Verb::Quit, &[], ""));
    let longest = format!("get {}\r\n", "k".repeat(250));
    assert!(!check(&longest, Verb::Get, &["k".repeat(250).as_str()], ""));
    assert!(!check("get käse\r\n", Verb::Get, &["käse"], ""));
    // Written anew.
    assert!(!check("get k\n", Verb::Get, &["k"], "get k\r\n"));
    assert!(!check("  get k\r\n", Verb::Get, &["k"], "get k\r\n"));
    assert!(!check("set k 0 0 2\nhi\r\n", Verb::Set, &["k"], "set k 0 0 2\r\nhi\r\n"));
    assert!(!check("set k 0 0 2 zzz yyy\r\nhi\r\n", Verb::Set, &["k"], "set k 0 0 2\r\nhi\r\n"));
    assert!(!check("set k 0 0 2 noreply zzz\r\nhi\r\n", Verb::Set, &["k"], "set k 0 0 2\r\nhi\r\n"));
    assert!(!check("cas k 0 0 2 9 zzz\r\nhi\r\n", Verb::Cas, &["k"], "cas k 0 0 2 9\r\nhi\r\n"));
    assert!(!check("incr k 1 zz\r\n", Verb::Incr, &["k"], "incr k 1\r\n"));
    assert!(!check("delete k 0\r\n", Verb::Delete, &["k"], "delete k\r\n"));
    assert!(!check("flush_all 0 0\r\n", Verb::FlushAll, &[], "flush_all 0\r\n"));
    assert!(!check("version a b c\r\n", Verb::Version, &[], "version\r\n"));
    // Quiet, but with a reply for the proxy.
    assert!(check("set k 0 0 2 noreply\r\nhi\r\n", Verb::Set, &["k"], "set k 0 0 2\r\nhi\r\n"));
    assert!(check("set k 0 0 2 zzz noreply\r\nhi\r\n", Verb::Set, &["k"], "set k 0 0 2\r\nhi\r\n"));
    assert!(check("cas k 0 0 2 9 noreply\r\nhi\r\n", Verb::Cas, &["k"], "cas k 0 0 2 9\r\nhi\r\n"));
    assert!(check("decr k 1 noreply\r\n", Verb::Decr, &["k"], "decr k 1\r\n"));
    assert!(check("touch k 0 noreply\r\n", Verb::Touch, &["k"], "touch k 0\r\n"));
    assert!(check("delete k noreply\r\n", Verb::Delete, &["k"], "delete k\r\n"));
    assert!(check("delete k 0 noreply\r\n", Verb::Delete, &["k"], "delete k\r\n"));
    assert!(check("flush_all noreply\r\n", Verb::FlushAll, &[], "flush_all\r\n"));
    assert!(check("flush_all 9 noreply\r\n", Verb::FlushAll, &[], "flush_all 9\r\n"));
    assert!(check("verbosity 0 noreply\r\n", Verb::Verbosity, &[], "verbosity 0\r\n"));
}

#[test]
fn refused() {
    // `after` is what must be left when the request is dropped.
    let check = |input: &str, after: &str, expected: Refusal, quiet: bool| {
        let stream = format!("{input}{after}");
        let skip = input.len() as u64;
        let expected = Scan::Refused { skip, refusal: expected, noreply: quiet, key: None };
        assert_eq!(scan(stream.as_bytes(), &mut Args::default()), expected, "{input:?}");
    };
    let long = "k".repeat(251);
    for line in
        ["", " ", "get", "get ", "gets", "gat", "gat 0", "bogus", "x", "GET k", "get\tk", "mn", "mg k v"]
    {
        check(&format!("{line}\r\n"), "", Refusal::Unknown, false);
    }
    for line in
        ["set", "set k", "set noreply", "set k 0 0", "incr k", "incr k 1 zz noreply", "touch k", "delete"]
    {
        check(&format!("{line}\r\n"), "get k\r\n", Refusal::Unknown, false);
    }
    for line in ["delete k 0 noreply x", "verbosity", "verbosity 0 1 2", "flush_all 0 noreply 1"] {
        check(&format!("{line}\r\n"), "", Refusal::Unknown, false);
    }
    check("\n", "", Refusal::Unknown, false);
    // Keys.
    for line in [format!("get {long}"), format!("get a {long} b"), format!("gat 0 {long}")] {
        check(&format!("{line}\r\n"), "", Refusal::BadFormat, false);
    }
    for line in ["get a\tb", "get a\0b", "get k\r", "get a\x7f", "touch a\x01 0"] {
        check(&format!("{line}\r\n"), "", Refusal::BadFormat, false);
    }
    check(&format!("incr {long} 1\r\n"), "", Refusal::BadFormat, false);
    check(&format!("incr {long} 1 noreply\r\n"), "", Refusal::BadFormat, true);
    check(&format!("touch {long} 0\r\n"), "", Refusal::BadFormat, false);
    check(&format!("delete {long}\r\n"), "", Refusal::BadFormat, false);
    check(&format!("delete {long} noreply\r\n"), "", Refusal::BadFormat, true);
    // Storage: the data is dropped where its length is known.
    check(&format!("set {long} 0 0 2\r\nhi\r\n"), "get k\r\n", Refusal::BadFormat, false);
    check(&format!("set {long} 0 0 2 noreply\r\nhi\r\n"), "get k\r\n", Refusal::BadFormat, true);
    check("set a\0b 0 0 2\r\nhi\r\n", "get k\r\n", Refusal::BadFormat, false);
    for line in ["set k abc 0", "set k -1 0", "set k 18446744073709551616 0", "set k 0 abc"] {
        check(&format!("{line} 2\r\nhi\r\n"), "get k\r\n", Refusal::BadFormat, false);
    }
    check("cas k 0 0 2\r\nhi\r\n", "get k\r\n", Refusal::Unknown, false);
    check("cas k 0 0 2 abc\r\nhi\r\n", "get k\r\n", Refusal::BadFormat, false);
    check("cas k 0 0 2 -1\r\nhi\r\n", "get k\r\n", Refusal::BadFormat, false);
    check("cas k 0 0 2 noreply\r\nhi\r\n", "get k\r\n", Refusal::BadFormat, true);
    check("ms k 2 T0\r\nhi\r\n", "get k\r\n", Refusal::Unknown, false);
    check("ms k S2\r\n", "hi\r\n", Refusal::Unknown, false);
    for bytes in ["-1", "abc", "2a", "2147483646", "2147483648", "99999999999999999999"] {
        check(&format!("set k 0 0 {bytes}\r\n"), "hi\r\n", Refusal::BadFormat, false);
        check(&format!("set k 0 0 {bytes} noreply\r\n"), "hi\r\n", Refusal::BadFormat, true);
    }
    check("set k 0 0 noreply\r\n", "hi\r\n", Refusal::BadFormat, true);
    check("set k 0 0 2\r\nhell", "o\r\n", Refusal::BadData, false);
    check("set k 0 0 2 noreply\r\nhell", "o\r\n", Refusal::BadData, true);
    check("set k 0 0 2\r\nhi\nv", "ersion\r\n", Refusal::BadData, false);
    // Numbers of the others.
    for delta in ["abc", "-1", "18446744073709551616", "abc zz"] {
        check(&format!("incr k {delta}\r\n"), "", Refusal::BadDelta, false);
    }
    check("incr k abc noreply\r\n", "", Refusal::BadDelta, true);
    check("incr k noreply\r\n", "", Refusal::BadDelta, true);
    for line in ["touch k abc", "gat abc k", "gat abc", "gat noreply", "flush_all abc", "flush_all noreply 0"]
    {
        check(&format!("{line}\r\n"), "", Refusal::BadExptime, false);
    }
    for line in ["touch k abc noreply", "touch k noreply", "flush_all abc noreply"] {
        check(&format!("{line}\r\n"), "", Refusal::BadExptime, true);
    }
    for line in ["delete k 10", "delete k noreply 0", "delete k 0 0"] {
        check(&format!("{line}\r\n"), "", Refusal::BadDelete, false);
    }
    check("delete k 10 noreply\r\n", "", Refusal::BadDelete, true);
    check(&format!("delete {long} 10\r\n"), "", Refusal::BadDelete, false);
    check("verbosity abc\r\n", "", Refusal::BadFormat, false);
    check("verbosity -1\r\n", "", Refusal::BadFormat, false);
    check("verbosity noreply\r\n", "", Refusal::BadFormat, true);
}

#[test]
fn too_large_is_known_from_the_line() {
    let limits = Limits { value_bytes: 100, request_bytes: 1000, args: 50, ..Limits::default() };
    let mut args = Args::default();
    let mut check = |line: &str, quiet: bool, key: Option<&str>| {
        let seen = RequestScan::default().scan(line.as_bytes(), &limits, &mut args);
        let Scan::Refused { skip, refusal, noreply, key: found } = seen else { panic!("{line:?}: {seen:?}") };
        assert_eq!((skip, refusal, noreply), (line.len() as u64 + 103, Refusal::TooLarge, quiet));
        assert_eq!(found.map(|key| key.of(line.as_bytes())), key.map(str::as_bytes));
    };
    check("set big 0 0 101\r\n", false, Some("big"));
    check("set big 0 0 101 noreply\r\n", true, Some("big"));
    // Only `set` promises that the old value is gone.
    check("add big 0 0 101\r\n", false, None);
    check("append big 0 0 101\r\n", false, None);
    let fits = RequestScan::default().scan(b"set big 0 0 100\r\n", &limits, &mut args);
    assert_eq!(fits, Scan::Partial);
    // The bound on a request counts the line, too.
    let limits = Limits { value_bytes: 1000, ..limits };
    let seen = RequestScan::default().scan(b"set big 0 0 990\r\n", &limits, &mut args);
    assert!(matches!(seen, Scan::Refused { skip: 1009, refusal: Refusal::TooLarge, .. }), "{seen:?}");
    // And so does the bound on words.
    let line = format!("get{}\r\n", " k".repeat(50));
    let seen = RequestScan::default().scan(line.as_bytes(), &limits, &mut args);
    assert!(matches!(seen, Scan::Refused { skip: 105, refusal: Refusal::LineTooLong, .. }), "{seen:?}");
}

#[test]
fn closed() {
    let check = |input: &[u8], expected: Option<CloseReason>| {
        let expected = expected.map_or(Scan::Partial, Scan::Close);
        assert_eq!(scan(input, &mut Args::default()), expected, "{}", input.escape_ascii());
    };
    let blanks = |n: usize| vec![b' '; n];
    let keys = b"a ".repeat(1024);
    check(b"GET / HTTP/1.1\r\n", Some(CloseReason::Http));
    check(b"put / HTTP/1.1\r\n", Some(CloseReason::Http));
    check(b"HTTP/\r\n", Some(CloseReason::Http));
    check(b"\x80\x00", Some(CloseReason::Binary));
    check(&[b'a'; 2048], None);
    check(&[b'a'; 2049], Some(CloseReason::LineTooLong));
    for verb in ["get ", "gets ", "gat 0 ", "gats 0 "] {
        check(&[verb.as_bytes(), &keys].concat(), None);
        check(&[&blanks(100), verb.as_bytes(), &keys].concat(), None);
        check(&[&blanks(101), verb.as_bytes(), &keys].concat(), Some(CloseReason::LineTooLong));
    }
    check(&[&b"set "[..], &keys].concat(), Some(CloseReason::LineTooLong));
    check(b"GET / HTTP/1.1", None);
    // A whole line is treated as its first bytes alone would be.
    check(&[&[b'a'; 2049][..], b"\n"].concat(), Some(CloseReason::LineTooLong));
    let seen = scan(&[&[b'a'; 2048][..], b"\n"].concat(), &mut Args::default());
    assert!(matches!(seen, Scan::Refused { refusal: Refusal::Unknown, .. }));
    let limits = Limits { request_bytes: 3000, ..Limits::default() };
    let endless = [&b"get "[..], &keys, &keys].concat();
    let seen = RequestScan::default().scan(&endless, &limits, &mut Args::default());
    assert_eq!(seen, Scan::Close(CloseReason::LineTooLong));
}

#[test]
fn http_in_the_place_of_a_key_is_a_key() {
    request(b"get / HTTP/1.1\r\n", &mut Args::default());
    let seen = scan(b"GET / HTTP/1.1 x\r\n", &mut Args::default());
    assert!(matches!(seen, Scan::Refused { refusal: Refusal::Unknown, .. }));
}

#[test]
fn a_set_waits_for_its_data() {
    let input = b"set k 0 0 5\r\nhe\r\no\r\n";
    let mut args = Args::default();
    let mut resumed = RequestScan::default();
    for end in 0..input.len() {
        assert_eq!(scan(&input[..end], &mut args), Scan::Partial, "{end} bytes");
        assert_eq!(resumed.scan(&input[..end], &Limits::default(), &mut args), Scan::Partial);
        assert!(args.is_empty());
    }
    let Scan::Complete(request) = resumed.scan(input, &Limits::default(), &mut args) else { panic!() };
    assert_eq!(request.data.map(|data| data.of(input)), Some(&b"he\r\no"[..]));
    assert_eq!((request.line_end, request.len), (13, 20));
    assert_eq!(args.get(1, input), b"k");
}

#[test]
fn a_stream_with_refusals_stays_in_step() {
    let long = "k".repeat(251);
    let stream = format!(
        "get a\r\nset {long} 0 0 5\r\nget b\r\nbogus\r\nset k 0 0 2\r\nhello\r\nget c\r\nGET / HTTP/1.0\r\nget d\r\n"
    );
    for read in [1, 5, 1000] {
        let seen = read_memcache_requests(stream.as_bytes(), &[read], &Limits::default());
        let short: Vec<_> = seen
            .iter()
            .map(|(scan, args)| match scan {
                Scan::Complete(_) => String::from_utf8_lossy(&args.join(&b' ')).into_owned(),
                Scan::Refused { refusal, .. } => String::from_utf8_lossy(refusal.text()).into_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            short,
            [
                "get a",
                "CLIENT_ERROR bad command line format",
                "ERROR",
                "CLIENT_ERROR bad data chunk",
                "ERROR",
                "get c",
                "Close(Http)"
            ]
        );
    }
}

#[test]
fn texts() {
    let rows = [
        (Refusal::Unknown, "ERROR"),
        (Refusal::BadFormat, "CLIENT_ERROR bad command line format"),
        (Refusal::BadDelete, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
        (Refusal::BadDelta, "CLIENT_ERROR invalid numeric delta argument"),
        (Refusal::BadExptime, "CLIENT_ERROR invalid exptime argument"),
        (Refusal::BadData, "CLIENT_ERROR bad data chunk"),
        (Refusal::TooLarge, "SERVER_ERROR object too large for cache"),
        (Refusal::LineTooLong, "CLIENT_ERROR line too long"),
    ];
    for (refusal, text) in rows {
        assert_eq!(refusal.text(), text.as_bytes());
    }
}

#[test]
fn writing() {
    let mut out = Vec::new();
    encode::multiget(Verb::Gets, None, [&b"a"[..], b"b"], &mut out);
    encode::multiget(Verb::Gat, Some(b"60"), [&b"c"[..]], &mut out);
    encode::delete(b"d", &mut out);
    assert_eq!(out, b"gets a b\r\ngat 60 c\r\ndelete d\r\n");
}

#[test]
fn every_command_is_found_by_its_name() {
    for verb in Verb::ALL {
        assert_eq!(Verb::parse(verb.name().as_bytes()), Some(verb));
    }
    assert_eq!(Verb::parse(b"GET"), None);
}
