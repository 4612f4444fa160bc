//! Rows of arguments: what they mean, what is said about bad ones, and whether nutcracker says the same.

use std::process::{Command, Stdio};

use super::*;

/// Arguments that are refused, and the line that says why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["-v"], "option -v requires a number"),
    (&["-s"], "option -s requires a number"),
    (&["-i"], "option -i requires a number"),
    (&["-m"], "option -m requires a number"),
    (&["-v", "x"], "option -v requires a number"),
    (&["-vx"], "option -v requires a number"),
    (&["-v", ""], "option -v requires a number"),
    (&["-v", "-5"], "option -v requires a number"),
    (&["-v", "5 "], "option -v requires a number"),
    (&["-s", "8o"], "option -s requires a number"),
    (&["-i", "1s"], "option -i requires a number"),
    (&["-i", "3000000000"], "option -i requires a number"),
    (&["-o"], "option -o requires a file name"),
    (&["-c"], "option -c requires a file name"),
    (&["-p"], "option -p requires a file name"),
    (&["-a"], "option -a requires a string"),
    (&["--output"], "option -o requires a file name"),
    (&["--stats-addr"], "option -a requires a string"),
    (&["--mbuf-size"], "option -m requires a number"),
    (&["-s", "0"], "option -s value 0 is not a valid port"),
    (&["-s", "65536"], "option -s value 65536 is not a valid port"),
    (&["-m", "0"], "option -m requires a non-zero number"),
    (&["-m", "x"], "option -m requires a non-zero number"),
    (&["-mbuf"], "option -m requires a non-zero number"),
    (&["-m", "511"], "mbuf chunk size must be between 512 and 16777216 bytes"),
    (&["-m", "16777217"], "mbuf chunk size must be between 512 and 16777216 bytes"),
    (&["-z"], "invalid option -- 'z'"),
    (&["-?"], "invalid option -- '?'"),
    (&["-Vz"], "invalid option -- 'z'"),
    (&["-:"], "invalid option -- ':'"),
    (&["-V", "-z", "-v"], "invalid option -- 'z'"),
    (&["operand", "-z"], "invalid option -- 'z'"),
    (&["--help=x"], "invalid option -- 'h'"),
    (&["--test-con=3"], "invalid option -- 't'"),
];

/// As above, where nutcracker prints a NUL for the option's name and we print the name.
const REFUSED_WITHOUT_NAME: &[(&[&str], &str)] = &[
    (&["--foo"], "invalid option -- 'foo'"),
    (&["--ver"], "invalid option -- 'ver'"),
    (&["--stats=1"], "invalid option -- 'stats'"),
    (&["--d"], "invalid option -- 'd'"),
    (&["--Help"], "invalid option -- 'Help'"),
    (&["--=x"], "invalid option -- ''"),
];

/// Arguments that both take.
const TAKEN: &[&[&str]] = &[
    &[],
    &["-"],
    &["operand", "--verbose=3", "another"],
    &["--", "-z"],
    &["-v", "99"],
    &["-v0"],
    &["-i", "0"],
    &["-s65535"],
    &["-m", "512"],
    &["--mbuf=16777216"],
    &["-tdDhV"],
    &["-tcfile"],
    &["-c", "-z"],
    &["-c", "--"],
    &["-c", ""],
    &["-a", "/tmp/stats.sock"],
    &["--conf", "x", "--out=y", "--pid", "z"],
    &["--t"],
    &["--h", "--vers", "--da", "--des"],
    &["--stats-p", "1", "--stats-a=b", "--stats-i", "2"],
    &["--verb", "3"],
];

#[test]
fn bad_options_are_told_in_nutcrackers_words() {
    for (args, reason) in REFUSED.iter().chain(REFUSED_WITHOUT_NAME) {
        let error = read("nutcracker", args).expect_err(&args.join(" "));
        assert_eq!(error.to_string(), format!("nutcracker: {reason}"), "{args:?}");
        let error = read("/usr/bin/cashew", args).expect_err(&args.join(" "));
        assert_eq!(error.to_string(), format!("cashew: {reason}"), "{args:?}");
    }
}

#[test]
fn nutcracker_says_the_same() {
    let Some(judge) = nutcracker() else { return };
    for (args, reason) in REFUSED {
        let (status, line) = run(judge, args);
        assert_eq!((status, line), (Some(1), format!("nutcracker: {reason}")), "{args:?}");
    }
    for (args, reason) in REFUSED_WITHOUT_NAME {
        let (status, line) = run(judge, args);
        assert_eq!(status, Some(1), "{args:?}");
        let (known, _) = reason.split_once('\'').expect("the name is quoted");
        assert!(line.starts_with(&format!("nutcracker: {known}'")), "{args:?}: {line}");
    }
    for args in TAKEN {
        // With -V in front nutcracker reads all options and ends; it must not get to run.
        let args: Vec<&str> = ["-V"].iter().chain(*args).copied().collect();
        assert!(read("nutcracker", &args).is_ok(), "{args:?}");
        assert_eq!(run(judge, &args), (Some(0), "This is nutcracker-0.5.0".to_owned()), "{args:?}");
    }
}

#[test]
fn options_mean_what_they_say() {
    let all = [
        "-v",
        "7",
        "-o",
        "log",
        "-c",
        "conf",
        "-s",
        "1234",
        "-a",
        "::1",
        "-i",
        "500",
        "-p",
        "pid",
        "-m",
        "1024",
        "-d",
        "--threads",
        "3",
    ];
    let process = ProcessSection {
        verbose: Some(7),
        output: Some("log".into()),
        stats_port: Some(1234),
        stats_addr: Some("::1".into()),
        stats_interval: Some(Millis(500)),
        pid_file: Some("pid".into()),
        mbuf_size: Some(1024),
        daemonize: Some(true),
        threads: Some(3),
        control_socket: None,
        max_memory: None,
        io: None,
    };
    let invocation = read("cashew", &all).expect("good options");
    assert_eq!(
        invocation,
        Invocation { program: Program::Cashew, action: Action::Run, conf_file: Some("conf".into()), process }
    );
}

#[test]
fn silence_says_nothing() {
    let invocation = read("cashew", &[]).expect("nothing to refuse");
    assert_eq!((invocation.action, invocation.conf_file), (Action::Run, None));
    assert_eq!(invocation.process, ProcessSection::default());
}

#[test]
fn single_flags() {
    for (args, expected) in [
        (["-v", "99"].as_slice(), ProcessSection { verbose: Some(11), ..Default::default() }),
        (&["-v99999999999999999999"], ProcessSection { verbose: Some(11), ..Default::default() }),
        (&["-v3", "-v4"], ProcessSection { verbose: Some(4), ..Default::default() }),
        (&["x", "--da", "y"], ProcessSection { daemonize: Some(true), ..Default::default() }),
        (&["--", "-v3"], ProcessSection::default()),
        (&["-v3", "--", "-v4"], ProcessSection { verbose: Some(3), ..Default::default() }),
        (&["-p", "--"], ProcessSection { pid_file: Some("--".into()), ..Default::default() }),
        (
            &["-dp-t"],
            ProcessSection { daemonize: Some(true), pid_file: Some("-t".into()), ..Default::default() },
        ),
        (&["--output=a=b"], ProcessSection { output: Some("a=b".into()), ..Default::default() }),
        (&["--th=0"], ProcessSection { threads: Some(0), ..Default::default() }),
    ] {
        let invocation = read("cashew", args).expect("good options");
        assert_eq!((invocation.process, invocation.action), (expected, Action::Run), "{args:?}");
    }
}

#[test]
fn threads_are_bounded_and_leave_nutcrackers_abbreviations_alone() {
    for (args, line) in [
        (["--threads"].as_slice(), "cashew: option --threads requires a number"),
        (&["--threads=x"], "cashew: option --threads requires a number"),
        (&["--threads", "1025"], "cashew: option --threads value 1025 is more than 1024"),
    ] {
        assert_eq!(read("cashew", args).expect_err("a bad number").to_string(), line);
    }
    assert_eq!(read("cashew", &["--t"]).expect("test-conf").action, Action::TestConf);
}

#[test]
fn information_comes_before_the_test_and_the_test_before_the_run() {
    let inform = |help, describe_stats| Action::Inform { help, describe_stats };
    for (args, expected) in [
        (["-t"].as_slice(), Action::TestConf),
        (&["-dt"], Action::TestConf),
        (&["-tV"], inform(false, false)),
        (&["-h"], inform(true, false)),
        (&["-tDd"], inform(false, true)),
        (&["-D", "--help"], inform(true, true)),
    ] {
        assert_eq!(read("cashew", args).expect("good options").action, expected, "{args:?}");
    }
}

#[test]
fn the_name_decides_the_version_line() {
    for (name, first_line) in [
        ("nutcracker", "This is nutcracker-0.5.0".to_owned()),
        ("/usr/sbin/nutcracker", "This is nutcracker-0.5.0".to_owned()),
        ("./nutcracker2", format!("This is cashew-{}", env!("CARGO_PKG_VERSION"))),
        ("cashew", format!("This is cashew-{}", env!("CARGO_PKG_VERSION"))),
    ] {
        let program = read(name, &[]).expect("no options").program;
        assert_eq!(version_block(program), format!("{first_line}\nasync event backend: epoll\n\n"), "{name}");
    }
    assert_eq!(parse(std::iter::empty()).expect("no options").program, Program::Cashew);
}

#[test]
fn information_is_the_version_then_the_usage_then_the_stats() {
    let version = version_block(Program::Cashew);
    let usage = usage(Program::Cashew) + &config::help() + crate::ctl::USAGE + "\n";
    assert_eq!(information(Program::Cashew, false, None), version);
    assert_eq!(information(Program::Cashew, true, None), format!("{version}{usage}"));
    assert_eq!(
        information(Program::Cashew, true, Some("pool stats:\n")),
        format!("{version}{usage}pool stats:\n")
    );
}

#[test]
fn the_usage_has_a_line_for_every_flag() {
    let text = usage(Program::Nutcracker);
    assert!(text.starts_with("Usage: nutcracker [-?hVdDt] "));
    assert!(text.contains(DEFAULT_CONF_FILE));
    let (_, options) = text.split_once("Options:\n").expect("a list of options");
    for flag in FLAGS {
        let line = options.lines().find(|line| line.contains(&format!("--{}", flag.long))).expect(flag.long);
        assert_eq!(line.find(" : "), Some(24), "{line}");
    }
}

#[test]
fn the_verdict_is_nutcrackers() {
    let Some(judge) = nutcracker() else { return };
    let missing = Path::new("/nonexistent/file.yml");
    let (status, line) = run(judge, &["-t", "-c", "/nonexistent/file.yml"]);
    assert_eq!((status, line), (Some(1), verdict(Program::Nutcracker, missing, false)));
    assert_eq!(
        verdict(Program::Cashew, missing, true),
        "cashew: configuration file '/nonexistent/file.yml' syntax is ok"
    );
}

#[test]
fn arguments_need_not_be_text() {
    let args = [b"cashew".as_slice(), b"-c", b"\xff", b"-\xe9"].map(|arg| OsString::from_vec(arg.to_vec()));
    assert!(parse(args.into_iter()).is_err());
    let args = [b"cashew".as_slice(), b"-c", b"\xff", b"\xfe"].map(|arg| OsString::from_vec(arg.to_vec()));
    let conf_file = parse(args.into_iter()).expect("an odd file name").conf_file;
    assert_eq!(conf_file, Some(PathBuf::from(OsString::from_vec(vec![0xff]))));
}

fn read(name: &str, args: &[&str]) -> Result<Invocation, CliError> {
    parse(std::iter::once(&name).chain(args).map(OsString::from))
}

fn nutcracker() -> Option<&'static str> {
    let path = "/usr/sbin/nutcracker";
    let found = Path::new(path).exists();
    if !found {
        eprintln!("skipped: {path} is not installed");
    }
    found.then_some(path)
}

/// Its exit status and the first line it writes.
fn run(program: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().expect("nutcracker runs");
    let text = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.lines().next().unwrap_or_default().to_owned())
}
