//! Command lines, right and wrong.

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn comparisons() {
    assert_eq!(parse(&words("compare")).unwrap(), Action::Compare(compare::Options::default()));
    let line = "compare --set sizes --only redis --proxies direct,cashew --rounds 5 --seconds 0.5 --rate 9 --save --cashew p \
                --beside b --envoy e --mcproxy m --syscalls --control --provisional";
    let path = |path: &str| Some(PathBuf::from(path));
    let expected = compare::Options {
        rounds: 5,
        seconds: Some(0.5),
        set: Some("sizes".to_owned()),
        only: Some("redis".to_owned()),
        proxies: vec![Kind::Direct, Kind::Cashew],
        paths: Paths { cashew: path("p"), beside: path("b"), envoy: path("e"), mcproxy: path("m") },
        rate: Rate::Fixed(9),
        syscalls: true,
        control: true,
        provisional: true,
        save: true,
    };
    assert_eq!(parse(&words(line)).unwrap(), Action::Compare(expected));
    let Action::Compare(options) = parse(&words("compare --rate half")).unwrap() else { panic!("not that") };
    assert_eq!(options.rate, Rate::Half);
}

#[test]
fn other_commands() {
    let Action::Chaos(options) =
        parse(&words("chaos --seed 9 --proxies cashew --only kill --threads 2")).unwrap()
    else {
        panic!("no chaos")
    };
    assert_eq!((options.seed, options.proxies, options.threads), (9, vec![Kind::Cashew], 2));
    assert_eq!(options.only.as_deref(), Some("kill"));
    let Action::Memory(options) = parse(&words("memory --only idle --proxies haproxy --save")).unwrap()
    else {
        panic!("not about memory")
    };
    assert_eq!((options.only.as_deref(), options.proxies), (Some("idle"), vec![Kind::Haproxy]));
    let Action::Relief(options) = parse(&words("relief --clients 9 --rounds 2 --save")).unwrap() else {
        panic!("no relief")
    };
    assert_eq!((options.clients, options.rounds, options.save), (9, 2, true));
    let Action::All(options) = parse(&words("all --only redis-get --provisional --envoy e")).unwrap() else {
        panic!("not all")
    };
    assert_eq!((options.rounds, options.provisional, options.paths.envoy), (5, true, Some("e".into())));
    let files = document::Options { files: vec!["a".into(), "b".into()], to: None };
    assert_eq!(parse(&words("document a b")).unwrap(), Action::Document(files));
    assert_eq!(parse(&words("show f")).unwrap(), Action::Show("f".to_owned()));
    assert_eq!(parse(&words("")).unwrap(), Action::Help);
}

#[test]
fn mistakes_are_named() {
    let lines = [
        ("compare --rounds", "--rounds"),
        ("compare --rounds x", "cannot be 'x'"),
        ("compare --rounds 0", "begins at 1"),
        ("compare --rate 0", "begins at 1"),
        ("compare --rate third", "'third'"),
        ("compare --seconds NaN", "--seconds"),
        ("compare --proxies squid", "squid"),
        ("compare --fast 1", "--fast"),
        ("chaos --proxies haproxy", "takes no part"),
        ("chaos --rounds 3", "--rounds"),
        ("memory --proxies direct", "no proxy"),
        ("memory --rounds 3", "--rounds"),
        ("relief --clients 0", "--clients"),
        ("relief --proxies mcproxy", "does not speak redis"),
        ("all --rate 5", "--rate"),
        ("document --to x", "--to"),
        ("show", "which file"),
        ("race", "race"),
    ];
    for (line, says) in lines {
        let error = format!("{:#}", parse(&words(line)).unwrap_err());
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn the_usage_names_every_set_and_proxy() {
    for set in crate::scenario::SETS {
        assert!(USAGE.contains(set.name), "{}", set.name);
    }
    assert!(KINDS.iter().all(|(name, _)| USAGE.contains(name)));
}
