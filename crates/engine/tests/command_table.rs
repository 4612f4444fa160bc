//! Looking commands up: everything that is in the table is found in any case, and nothing else is.

use engine::command::{
    self, ClientCall, Command, Fanout, FindError, Fixed, Local, PubsubCommand, Route, SessionCommand, Split,
    Walk,
};
use proptest::prelude::*;
use wire::args::Args;

fn request(argv: &[impl AsRef<[u8]>]) -> (Vec<u8>, Args) {
    let (mut bytes, mut args) = (Vec::new(), Args::default());
    for arg in argv {
        let start = bytes.len();
        bytes.extend_from_slice(arg.as_ref());
        args.push(start, bytes.len());
    }
    (bytes, args)
}

fn find(argv: &[impl AsRef<[u8]>]) -> Result<&'static Command, FindError> {
    let (bytes, args) = request(argv);
    command::find(args.view(&bytes))
}

fn error(argv: &[impl AsRef<[u8]>]) -> String {
    let (bytes, args) = request(argv);
    let mut out = Vec::new();
    command::find(args.view(&bytes)).unwrap_err().write(args.view(&bytes), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn route(argv: &str) -> Route {
    let words: Vec<&str> = argv.split(' ').collect();
    find(&words).unwrap_or_else(|error| panic!("{argv}: {error:?}")).route
}

/// `text` with the case of its letters changed as the bits of `case` say.
fn recased(text: &str, case: u64) -> String {
    let flip = |(index, letter): (usize, char)| match case >> (index % 64) & 1 {
        0 => letter.to_ascii_lowercase(),
        _ => letter,
    };
    text.chars().enumerate().map(flip).collect()
}

#[test]
fn every_row_is_found_in_any_case() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/redis-commands.csv");
    let mut rows = 0;
    for row in csv::Reader::from_path(path).unwrap().records() {
        let row = row.unwrap();
        rows += 1;
        let name = format!("{} {}", &row[0], &row[1]).trim().to_owned();
        for case in [0, u64::MAX, 0x5555_5555_5555_5555, 0x9249_2492_4924_9249] {
            let name = recased(&name, case);
            let arity: i64 = row[4].parse().unwrap();
            let mut argv: Vec<String> = name.split(' ').map(str::to_owned).collect();
            argv.resize(argv.len().max(arity.unsigned_abs() as usize), "1".to_owned());
            let is_container = command::by_name(name.replace(' ', "|").as_bytes())
                .is_some_and(|command| !command.subcommands().is_empty());
            match find(&argv) {
                Ok(command) => assert_eq!(command.name, name.to_ascii_uppercase()),
                Err(FindError::UnknownSubcommand(command)) if is_container => {
                    assert_eq!(command.name, name.to_ascii_uppercase());
                }
                Err(error) => panic!("{argv:?}: {error:?}"),
            }
        }
    }
    assert_eq!(rows, Command::table().len());
}

#[test]
fn what_twemproxy_takes_is_taken() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/twemproxy-redis-commands.csv");
    let mut rows = 0;
    // Its remarks have commas of their own.
    for row in csv::ReaderBuilder::new().flexible(true).from_path(path).unwrap().records() {
        let row = row.unwrap();
        rows += 1;
        let command =
            command::by_name(row[0].as_bytes()).unwrap_or_else(|| panic!("{} is not known", &row[0]));
        assert!(command.served(), "{} is not served", &row[0]);
    }
    assert_eq!(rows, 137);
}

#[test]
fn names_that_only_look_like_commands() {
    for name in [
        "",
        "GE",
        "GETT",
        "GET ",
        " GET",
        "GET\0",
        "G\0T",
        "FT\x0eSEARCH",
        "FT.SEARCI",
        "ZUNIONSTORF",
        "SE\x14",
        "7ET",
        "GEORADIUSBYMEMBER_RP",
        "GEORADIUSBYMEMCER_RO",
        "CONFIG GET",
        "CONFIG|GET",
    ] {
        assert!(matches!(find(&[name, "a", "b"]), Err(FindError::Unknown)), "{name:?}");
    }
    for word in ["", "GETT", "GET\0", "SETNAME"] {
        assert!(matches!(find(&["CONFIG", word, "b"]), Err(FindError::UnknownSubcommand(_))), "{word:?}");
    }
    assert!(matches!(find(&["x".repeat(1 << 20)]), Err(FindError::Unknown)));
    assert!(command::by_name(b"config|").is_none());
    assert!(command::by_name(b"get|get").is_none());
    assert!(command::by_name(b"|").is_none());
}

proptest! {
    /// Words near real ones: a byte changed, added or taken away.
    #[test]
    fn nothing_but_its_own_name_finds_a_command(
        row in 0..Command::table().len(), case: u64, at in 0..40usize, byte: u8, edit in 0..3,
    ) {
        let name = Command::table()[row].name;
        let mut words: Vec<Vec<u8>> = recased(name, case).split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let last = words.last_mut().unwrap();
        let at = at % last.len();
        match edit {
            0 => last[at] = byte,
            1 => last.insert(at, byte),
            _ => { last.remove(at); }
        }
        let edited = String::from_utf8_lossy(&words.join(&b' ')).to_ascii_uppercase();
        let named = Command::table().iter().find(|command| command.name == edited).map(|command| command.name);
        let full: Vec<u8> = words.join(&b'|');
        // A bar within a word would make another name of it.
        prop_assume!(byte != b'|' && byte != b' ');
        prop_assert_eq!(command::by_name(&full).map(|command| command.name), named, "{}", edited);
    }
}

#[test]
fn errors_read_as_redis_writes_them() {
    let long = "x".repeat(200);
    for (argv, expected) in [
        (vec!["foo"], "-ERR unknown command 'foo', with args beginning with: \r\n".to_owned()),
        (
            vec!["foo", "a", "b"],
            "-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n".to_owned(),
        ),
        (
            vec!["f\r\no", "a\nb"],
            "-ERR unknown command 'f  o', with args beginning with: 'a b' \r\n".to_owned(),
        ),
        (
            vec![&long, &long, "b"],
            format!("-ERR unknown command '{0}', with args beginning with: '{0}' \r\n", "x".repeat(128)),
        ),
        (vec!["get"], "-ERR wrong number of arguments for 'get' command\r\n".to_owned()),
        (vec!["GET", "a", "b"], "-ERR wrong number of arguments for 'get' command\r\n".to_owned()),
        (vec!["CONFIG"], "-ERR wrong number of arguments for 'config' command\r\n".to_owned()),
        (vec!["CONFIG", "GET"], "-ERR wrong number of arguments for 'config|get' command\r\n".to_owned()),
        (vec!["client", "X"], "-ERR unknown subcommand 'X'. Try CLIENT HELP.\r\n".to_owned()),
    ] {
        assert_eq!(error(&argv), expected, "{argv:?}");
    }
}

#[test]
fn what_is_not_taken_says_why() {
    for (name, expected) in [
        ("ts.mrange", "-ERR cashew does not support 'TS.MRANGE' yet: "),
        (
            "acl|setuser",
            "-ERR cashew does not pass on 'ACL SETUSER': it would change who may use a server\r\n",
        ),
        ("shutdown", "-ERR cashew does not pass on 'SHUTDOWN': it would stop a server that others use\r\n"),
    ] {
        let mut out = Vec::new();
        command::by_name(name.as_bytes()).unwrap().refusal(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(expected) && text.ends_with("\r\n"), "{text}");
    }
}

#[test]
fn commands_go_where_they_should() {
    for (argv, expected) in [
        ("GET a", Route::ByKey),
        ("SET a 1 EX 5 GET", Route::ByKey),
        ("HEXPIRE a 1 FIELDS 1 f", Route::ByKey),
        ("MSETNX a 1", Route::ByKey),
        ("EVALSHA s 1 a", Route::ByKey),
        ("XREAD STREAMS a 0", Route::ByKey),
        ("OBJECT ENCODING a", Route::ByKey),
        ("MGET a b", Route::Split(Split::Mget)),
        ("MSET a b", Route::Split(Split::Mset)),
        ("DEL a", Route::Split(Split::Sum)),
        ("UNLINK a", Route::Split(Split::Sum)),
        ("TOUCH a", Route::Split(Split::Sum)),
        ("EXISTS a", Route::Split(Split::Sum)),
        ("JSON.MGET a $", Route::Split(Split::JsonMget)),
        ("DBSIZE", Route::Fanout(Fanout::Sum)),
        ("FLUSHALL", Route::Fanout(Fanout::AllOk)),
        ("KEYS *", Route::Fanout(Fanout::Concat)),
        ("SCRIPT LOAD s", Route::Fanout(Fanout::Same)),
        ("SCRIPT EXISTS s", Route::Fanout(Fanout::And)),
        ("FUNCTION LIST", Route::Fanout(Fanout::First)),
        ("BLPOP a 0", Route::ByKey),
        ("WATCH a", Route::Session(SessionCommand::Watch)),
        ("EXEC", Route::Session(SessionCommand::Exec)),
        ("SCAN 0", Route::Walk(Walk::Scan)),
        ("RANDOMKEY", Route::Walk(Walk::RandomKey)),
        ("SCRIPT KILL", Route::Walk(Walk::Kill)),
        ("FUNCTION STATS", Route::Walk(Walk::Running)),
        ("WAIT 1 0", Route::Walk(Walk::Copies)),
        ("LASTSAVE", Route::Fanout(Fanout::Least)),
        ("CONFIG GET save", Route::Fanout(Fanout::First)),
        ("ACL GENPASS 5", Route::Fanout(Fanout::Any)),
        ("MONITOR", Route::Local(Local::Monitor)),
        ("SUBSCRIBE c", Route::Pubsub(PubsubCommand::Subscribe)),
        ("SPUBLISH c m", Route::Pubsub(PubsubCommand::Publish)),
        ("PUBSUB NUMPAT", Route::Fanout(Fanout::Most)),
        ("PING", Route::Local(Local::Ping)),
        ("CLIENT SETINFO LIB-NAME x", Route::Local(Local::ClientSetinfo)),
        ("CLIENT PAUSE 1", Route::Local(Local::Client(ClientCall::Pause))),
        ("SLOWLOG GET", Route::Local(Local::Fixed(Fixed::NothingOf))),
        ("OBJECT HELP", Route::Local(Local::Help)),
    ] {
        assert_eq!(route(argv), expected, "{argv}");
    }
    for argv in ["FT._LIST", "TS.MRANGE 0 1 FILTER a=b"] {
        assert!(matches!(route(argv), Route::NotYet(_)), "{argv}");
    }
    for argv in
        ["ACL SETUSER u", "DEBUG SLEEP", "REPLICAOF a b", "SYNC", "CLIENT IMPORT-SOURCE ON", "CONFIG SET a b"]
    {
        assert!(matches!(route(argv), Route::Refused(_)), "{argv}");
    }
}

#[test]
fn nothing_that_changes_a_connection_is_sent_to_a_server() {
    for command in Command::table() {
        let own = [
            "CLIENT",
            "AUTH",
            "HELLO",
            "SELECT",
            "READONLY",
            "READWRITE",
            "ASKING",
            "RESET",
            "QUIT",
            "MULTI",
        ];
        let more = [
            "WATCH",
            "MONITOR",
            "SUBSCRIBE",
            "PSUBSCRIBE",
            "SSUBSCRIBE",
            "PSYNC",
            "SYNC",
            "HIMPORT",
            "REPLCONF",
        ];
        let stateful = |name: &&str| command.name.split(' ').next() == Some(name);
        if own.iter().chain(&more).any(stateful) || command.name == "SCRIPT DEBUG" {
            let away = matches!(command.route, Route::ByKey | Route::Split(_) | Route::Fanout(_));
            assert!(!away, "{} would reach a shared connection", command.name);
        }
    }
}
