//! Servers that answer nonsense to COMMAND: whatever they say, reading it ends, and what comes of it is within bounds.

use engine::command::learn::{ENTRIES_MAX, LIST_BYTES, LearnError, Learner, Listing, ROWS_MAX};
use engine::command::{self, CommandReply, FindError, Learnt, Scope, info};
use proptest::prelude::*;
use wire::args::Args;

fn read(learner: &mut Learner, bytes: &[u8]) -> Option<Result<Learnt, LearnError>> {
    let mut listing = Listing::default();
    match listing.add(bytes) {
        Ok(true) => Some(learner.read(&listing)),
        Ok(false) | Err(_) => None,
    }
}

#[test]
fn what_is_no_list_of_commands_is_told_so() {
    for reply in [
        "+OK\r\n",
        "*0\r\n",
        "*-1\r\n",
        "$-1\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*2\r\n*0\r\n*1\r\n+a\r\n",
        "%0\r\n",
    ] {
        let said = read(&mut Learner::default(), reply.as_bytes()).expect("a whole reply");
        assert_eq!(said.expect_err(reply), LearnError::NoList, "{reply}");
    }
    let said = read(&mut Learner::default(), b"-NOAUTH Authentication required.\r\n").expect("a whole reply");
    let text = said.expect_err("an error").to_string();
    assert_eq!(text, "it answers 'NOAUTH Authentication required.' to COMMAND");
    let endless = [b"-".as_slice(), &[0xff; 4000], b"\r\n"].concat();
    let said = read(&mut Learner::default(), &endless).expect("a whole reply").expect_err("an error");
    assert!(said.to_string().len() < 1000);
}

#[test]
fn a_reply_that_is_too_long_is_cut_short() {
    let mut listing = Listing::default();
    assert!(listing.add(format!("*1\r\n${LIST_BYTES}\r\n").as_bytes()).is_err());
    let mut listing = Listing::default();
    assert!(listing.add(b"*99999999999\r\n").is_err());
}

fn plain(name: &str, numbers: &str) -> String {
    format!("*6\r\n${}\r\n{name}\r\n{numbers}", name.len())
}

#[test]
fn entries_that_make_no_sense_are_left_out() {
    let good = ":2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n";
    for (name, numbers) in [
        ("", good),
        ("a b", good),
        ("a|b", good),
        ("a\r\nb", good),
        ("\u{fc}", good),
        (&"x".repeat(65), good),
        ("my.get", ":0\r\n*0\r\n:1\r\n:1\r\n:1\r\n"),
        ("my.get", ":99999\r\n*0\r\n:1\r\n:1\r\n:1\r\n"),
        ("my.get", ":2\r\n*0\r\n:99999\r\n:1\r\n:1\r\n"),
        ("my.get", "+2\r\n*0\r\n:1\r\n:1\r\n:1\r\n"),
    ] {
        let reply = format!("*2\r\n{}{}", plain(name, numbers), plain("my.set", good));
        let learnt = read(&mut Learner::default(), reply.as_bytes()).expect("whole").expect("one is good");
        let names: Vec<&str> = learnt.top_level().map(|command| command.name).collect();
        assert_eq!(names, ["MY.SET"], "{name:?} {numbers:?}");
    }
}

#[test]
fn keys_of_an_old_redis_are_where_its_numbers_say() {
    let numbers = |flags: &str, keys: [i64; 3]| {
        let flags: Vec<String> = flags.split_whitespace().map(|flag| format!("+{flag}\r\n")).collect();
        let keys: String = keys.iter().map(|key| format!(":{key}\r\n")).collect();
        format!(":-2\r\n*{}\r\n{}{keys}", flags.len(), flags.concat())
    };
    for (flags, keys, passed) in [
        ("readonly", [1, 1, 1], true),
        ("write", [1, -1, 2], true),
        ("write", [2, 3, 1], true),
        ("write noscript", [1, 1, 1], false),
        ("write movablekeys", [1, 1, 1], false),
        ("write", [0, 0, 0], false),
        ("write", [-1, 1, 1], false),
        ("write", [1, 1, -1], false),
        ("write", [i64::from(i16::MAX), i64::from(i16::MIN), 0], true),
    ] {
        let reply = format!("*1\r\n{}", plain("my.cmd", &numbers(flags, keys)));
        let learnt = read(&mut Learner::default(), reply.as_bytes()).expect("whole").expect("a list");
        assert_eq!(learnt.passed_on() == 1, passed, "{flags} {keys:?}");
        try_out(&learnt);
    }
}

#[test]
fn a_row_is_made_once_and_rows_are_bounded() {
    let mut learner = Learner::default();
    let all = |from: usize| {
        let entries: Vec<String> = (from..from + ENTRIES_MAX + 10)
            .map(|n| plain(&format!("my.{n}"), ":2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n"))
            .collect();
        format!("*{}\r\n{}", entries.len(), entries.concat())
    };
    let first = read(&mut learner, all(0).as_bytes()).expect("whole").expect("a list");
    assert_eq!(first.len(), ENTRIES_MAX);
    let again = read(&mut learner, all(0).as_bytes()).expect("whole").expect("a list");
    assert!(again.is_same(&first), "the same rows");
    let others = read(&mut learner, all(100_000).as_bytes()).expect("whole").expect("a list");
    assert_eq!(others.len(), ROWS_MAX - ENTRIES_MAX, "no more rows are made");
    assert!(!others.is_same(&first));
}

/// Asks each of them something, and everything about it.
fn try_out(learnt: &Learnt) {
    let scope = Scope { learnt: Some(learnt), ..Scope::default() };
    let mut out = Vec::new();
    let object = command::by_name(b"object").expect("it is in the table");
    for command in learnt.top_level().chain([object]) {
        let error =
            if command.name == "OBJECT" { FindError::UnknownSubcommand(object) } else { FindError::Unknown };
        let parts = learnt.parts(command).iter().copied();
        for command in std::iter::once(command).chain(parts) {
            for rest in
                [&[][..], &["1"], &["0", "keys"], &["2", "a", "b", "c"], &["keys", "a", "-1", "9", "keys"]]
            {
                let mut argv: Vec<&str> = vec!["COMMAND", "GETKEYS"];
                argv.extend(command.name.split(' '));
                argv.extend(rest);
                let (bytes, args, inner) = request(&argv);
                info::write(CommandReply::GetKeysAndFlags, args.view(&bytes), scope, true, &mut out);
                let view = inner.view(&bytes);
                if let Ok(found) = learnt.find(error, view) {
                    let mut keys = Vec::new();
                    match command::keys(found, view, &mut keys) {
                        Ok(()) => {
                            assert!(keys.iter().all(|key| (*key as usize) < view.len()), "{argv:?}: {keys:?}")
                        }
                        Err(error) => error.write(found, &mut out),
                    }
                }
            }
        }
    }
    let (bytes, args, _) = request(&["COMMAND"]);
    info::write(CommandReply::All, args.view(&bytes), scope, true, &mut out);
    info::write(CommandReply::Docs, args.view(&bytes), scope, false, &mut out);
}

/// A request, and what is behind its first two words as one.
fn request(argv: &[&str]) -> (Vec<u8>, Args, Args) {
    let (mut bytes, mut args, mut inner) = (Vec::new(), Args::default(), Args::default());
    for (index, arg) in argv.iter().enumerate() {
        let start = bytes.len();
        bytes.extend_from_slice(arg.as_bytes());
        args.push(start, bytes.len());
        if index >= 2 {
            inner.push(start, bytes.len());
        }
    }
    (bytes, args, inner)
}

/// An element of a reply: what servers say about commands, in any order and number.
fn element() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("my.get"),
        Just("object|new"),
        Just("object"),
        Just("flags"),
        Just("begin_search"),
        Just("find_keys"),
        Just("type"),
        Just("spec"),
        Just("index"),
        Just("keyword"),
        Just("startfrom"),
        Just("range"),
        Just("lastkey"),
        Just("keystep"),
        Just("limit"),
        Just("keynum"),
        Just("keynumidx"),
        Just("firstkey"),
        Just("readonly"),
        Just("blocking"),
        Just("not_key"),
        Just("incomplete"),
        Just("unknown"),
        Just(""),
        Just("keys"),
    ];
    let number =
        prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN), Just(65_536), Just(32_767), Just(-32_768)];
    let leaf = prop_oneof![
        word.clone().prop_map(|word| format!("${}\r\n{word}\r\n", word.len())),
        word.prop_map(|word| format!("+{word}\r\n")),
        number.prop_map(|number| format!(":{number}\r\n")),
        Just("$-1\r\n".to_owned()),
        Just("_\r\n".to_owned()),
    ];
    leaf.prop_recursive(6, 96, 12, |inner| {
        (proptest::collection::vec(inner, 0..12), 0..3u8).prop_map(|(parts, kind)| match kind {
            0 if parts.len() % 2 == 0 => format!("%{}\r\n{}", parts.len() / 2, parts.concat()),
            1 => format!("~{}\r\n{}", parts.len(), parts.concat()),
            _ => format!("*{}\r\n{}", parts.len(), parts.concat()),
        })
    })
}

/// An entry that is nearly right, so that what is inside is looked at.
fn entry() -> impl Strategy<Value = String> {
    let spec = (element(), -2i64..5, -3i64..70_000, 0..4i64, 0..4u8).prop_map(|(any, at, last, step, kind)| {
        let begin = match kind {
            0 => format!("*4\r\n+type\r\n+keyword\r\n+spec\r\n*4\r\n+keyword\r\n+keys\r\n+startfrom\r\n:{at}\r\n"),
            1 => format!("*4\r\n+type\r\n+index\r\n+spec\r\n{any}"),
            _ => format!("*4\r\n+type\r\n+index\r\n+spec\r\n*2\r\n+index\r\n:{at}\r\n"),
        };
        let find = match step % 2 {
            0 => format!("*4\r\n+type\r\n+range\r\n+spec\r\n*6\r\n+lastkey\r\n:{last}\r\n+keystep\r\n:{step}\r\n+limit\r\n:{step}\r\n"),
            _ => format!("*4\r\n+type\r\n+keynum\r\n+spec\r\n*6\r\n+keynumidx\r\n:{at}\r\n+firstkey\r\n:{last}\r\n+keystep\r\n:{step}\r\n"),
        };
        format!("*6\r\n+flags\r\n*0\r\n+begin_search\r\n{begin}+find_keys\r\n{find}")
    });
    let specs = proptest::collection::vec(spec, 0..3);
    (prop_oneof![Just("my.get"), Just("object"), Just("my.set")], specs, element(), -5i64..5).prop_map(
        |(name, specs, parts, arity)| {
            let specs = format!("*{}\r\n{}", specs.len(), specs.concat());
            let part = format!("*10\r\n+{name}|new\r\n:{arity}\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n{specs}*0\r\n");
            let parts = if arity == -2 { format!("*2\r\n{part}{parts}") } else { parts };
            format!("*10\r\n+{name}\r\n:{arity}\r\n*1\r\n+readonly\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n{specs}{parts}")
        },
    )
}

proptest! {
    #[test]
    fn nonsense_is_survived(any in element(), entries in proptest::collection::vec(entry(), 1..4)) {
        let mut learner = Learner::default();
        for reply in [any, format!("*{}\r\n{}", entries.len(), entries.concat())] {
            if let Some(Ok(learnt)) = read(&mut learner, reply.as_bytes()) {
                try_out(&learnt);
            }
        }
    }

    #[test]
    fn changed_bytes_are_survived(entries in proptest::collection::vec(entry(), 1..3), at in any::<u16>(), byte in any::<u8>()) {
        let mut reply = format!("*{}\r\n{}", entries.len(), entries.concat()).into_bytes();
        let at = usize::from(at) % reply.len();
        reply[at] = byte;
        if let Some(Ok(learnt)) = read(&mut Learner::default(), &reply) {
            try_out(&learnt);
        }
    }
}
