//! The judge of compatibility: nutcracker itself. Small files and mutations of files are checked by
//! `nutcracker -t` and by us, and the verdicts must agree, except where a row says why not.
//!
//! Skipped, with a note, where `/usr/sbin/nutcracker` (0.5.0) is not installed. Hosts in here are IP addresses
//! or `localhost`, so nothing is asked of a name server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NUTCRACKER: &str = "/usr/sbin/nutcracker";

/// Settings put into a good file, on a line of their own.
const SETTINGS: &[&str] = &[
    "timeout: 400",
    "timeout: 0",
    "timeout: 010",
    "timeout: 2147483647",
    "timeout: 3000000000",
    "timeout: 4x",
    "timeout: -1",
    "timeout: +1",
    "timeout: 1.5",
    "timeout: ~",
    "timeout:",
    "timeout: ''",
    "timeout: \"\"",
    "timeout: '5'",
    "timeout: \"5\"",
    "timeout: ' 5'",
    "timeout: |\n    400",
    "timeout: |-\n    400",
    "timeout: >-\n    400",
    "timeout :  3",
    "timeout:\t3",
    "timeout:\t\t 3",
    "timeout:\t'3'",
    "timeout: \t3",
    "timeout\t: 3",
    "timeout: 3\t",
    "timeout:3",
    "timeout: 3 # comment",
    "timeout: 3# comment",
    "timeout: @3",
    "timeout: [3]",
    "timeout: {a: 3}",
    "timeout:\n    a: 3",
    "timeout:\n  - 3",
    "timeout: &a 3",
    "timeout: !!int 3",
    "timeout: *a",
    "timeout: 3\n  timeout: 3",
    "'timeout': 3",
    "? timeout\n  : 3",
    "? [a, b]\n  : 3",
    "Timeout: 3",
    "timout: 3",
    "<<: 3",
    "# only a comment",
    "redis: true",
    "redis: 'true'",
    "redis: True",
    "redis: yes",
    "redis: 1",
    "redis: false",
    "redis_auth: secret",
    "redis: true\n  redis_auth: secret",
    "redis_auth: secret\n  redis: true",
    "redis: true\n  redis_auth: ~",
    "redis: true\n  redis_auth: ''",
    "redis: true\n  redis_auth: a: b",
    "redis: true\n  redis_auth: 'a: b'",
    "redis_db: 3",
    "redis_db: -3",
    "tcpkeepalive: true",
    "preconnect: true",
    "auto_eject_hosts: true",
    "auto_eject_hosts: on",
    "backlog: 0",
    "client_connections: 5",
    "client_connections: five",
    "server_connections: 0",
    "server_connections: 7",
    "server_failure_limit: 0",
    "server_retry_timeout: 0",
    "server_retry_timeout: 30s",
    "hash: one_at_a_time",
    "hash: md5",
    "hash: crc16",
    "hash: crc32",
    "hash: crc32a",
    "hash: fnv1_64",
    "hash: fnv1a_64",
    "hash: fnv1_32",
    "hash: fnv1a_32",
    "hash: hsieh",
    "hash: murmur",
    "hash: jenkins",
    "hash: MD5",
    "hash: sha1",
    "distribution: ketama",
    "distribution: modula",
    "distribution: random",
    "distribution: Random",
    "distribution: consistent",
    "hash_tag: '{}'",
    "hash_tag: \"{}\"",
    "hash_tag: \"\\x7b}\"",
    "hash_tag: {}",
    "hash_tag: '{'",
    "hash_tag: '{{}'",
    "hash_tag: é",
    "hash_tag: éé",
    "hash_tag: $$",
    "hash_tag: '%%'",
    "hash_tag: %%",
    "hash_tag: ??",
    "hash_tag: ?a",
    "hash_tag: -a",
    "hash_tag: :a",
    "hash_tag: a:",
    "hash_tag: ::",
    "hash_tag: `a",
    "hash_tag: '&*'",
    "persistent: true",
    "sentinels: 1",
    "servers:\n  - g:1:1",
    "servers: g:1:1",
    "listen: 127.0.0.1:2",
    "listen: 127.0.0.1:22121",
];

/// Values of `listen`.
const LISTEN: &[&str] = &[
    "127.0.0.1:22121",
    "0.0.0.0:1",
    "localhost:65535",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:",
    "127.0.0.1",
    "127.0.0.1:+1",
    "127.0.0.1:0x1",
    "127.0.0.1:022121",
    "22121",
    "127.1:22121",
    "0:22121",
    "::1:22121",
    "fe80::1%lo:22121",
    "/tmp/x",
    "/",
    "/tmp/x 0777",
    "/tmp/x 1000",
    "/tmp/x 0",
    "/tmp/x zz",
    "/tmp/x 777x",
    "'/tmp/x '",
    "/tmp/x -1",
    "/tmp/x -0",
    "/tmp/x +7",
    "/tmp/x 7777777777777777777777777",
    "/tmp/x y 0666",
    "/tmp/x:1",
    "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Lines of `servers`.
const SERVERS: &[&str] = &[
    "h:1:1",
    "h:1:2147483647",
    "h:1:0",
    "h:1:x",
    "h:1:-1",
    "h:1:",
    "h:1:3000000000",
    "h:1",
    "h",
    "~",
    "",
    "''",
    "h:0:1",
    "h:65535:1",
    "h:65536:1",
    "h:+1:1",
    "h::1",
    ":1:1",
    "h:1:1:1",
    "::1:6379:1",
    "'[::1]:6379:1'",
    "[h:1:1]",
    "{h: 1}",
    "h: 1",
    "h:1: 1",
    "- h:1:1",
    "h:1:1 name",
    "h:1:1 a:b",
    "h:1:1 a b",
    "h:1:1  name",
    "'h:1:1 '",
    "h h:1:1",
    "h:1:1 n # comment",
    "h:1:1 n# comment",
    "h:1:1\n    name",
    "/a:1",
    "/a:1 name",
    "'/a:1 '",
    "/a:0",
    "/a:b:1",
    "/a b:1",
    "/a",
    "/:1",
    "h:1:1\n  - h:1:1",
    "h:1:1\n  - h:1:2",
    "h:1:1\n  - h:2:1",
    "h:1:1 a\n  - h:1:1 b",
    "h:1:1 a\n  - g:1:1 a",
    "h:11211:1\n  - g:6379:1 h",
    "h:11211:1\n  - h:6379:1",
    "h:1:1\n\n  # comment\n  - g:1:1",
    "h:1:1\n   - g:1:1",
    "h:1:1\n - g:1:1",
];

/// Whole files.
const FILES: &[&str] = &[
    "",
    "\n",
    "# nothing\n",
    "a\n",
    "a:\n",
    "a: 1\n",
    "- a\n",
    "a:\n  - b\n",
    "{}\n",
    "a: {}\n",
    "a:\n  listen: 127.0.0.1:1\n",
    "a:\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers: h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  timeout:\n  - 1\n  servers: h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  timeout:\n  - 1\n  - 2\n  servers: h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers: g:1:1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n    - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1",
    "a:\r\n  listen: 127.0.0.1:1\r\n  servers:\r\n  - h:1:1\r\n",
    "\u{feff}a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "---\na:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n...\n",
    "%YAML 1.1\n---\na:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n---\nb: 1\n",
    "a:\n\tlisten: 127.0.0.1:1\n\tservers:\n\t- h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n   timeout: 1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n timeout: 1\n  servers:\n  - h:1:1\n",
    "'a b':\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "'':\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\nb:\n  listen: 127.0.0.1:2\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\nb:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\nb:\n  listen: localhost:1\n  servers:\n  - h:1:1\n",
    "a:\n  listen: /tmp/x\n  servers:\n  - h:1:1\nb:\n  listen: /tmp/x 0666\n  servers:\n  - h:1:1\n",
    "a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\na:\n  listen: 127.0.0.1:2\n  servers:\n  - h:1:1\n",
    "cashew:\n  listen: 127.0.0.1:1\n  servers:\n  - h:1:1\n",
    "cashew:\n  threads: 1\n",
    "cashew:\n  listen: 127.0.0.1:1\n",
];

/// Where we differ on purpose: what is put into a good file, whether we take it, and why.
const DIFFERENCES: &[(&str, bool, &str)] = &[
    ("reuseport: true", true, "in twemproxy's newest source, not yet in 0.5.0"),
    ("hash: xxh3", true, "new"),
    ("distribution: maglev", true, "new"),
    ("distribution: jump", true, "new"),
    ("distribution: rendezvous", true, "new"),
    ("timeout: auto", true, "new"),
    ("timeout_auto_min: 50ms", true, "new"),
    ("max_request_size: 64mb", true, "new"),
    ("max_reply_size: 1gb", true, "new"),
    ("client_max_pipeline: 100", true, "new"),
    ("pinned_connections: 100", true, "new"),
    ("cluster_emulation: true", true, "new"),
    ("cross_server: gather", true, "new"),
    ("client_output_limit: 1mb", true, "new"),
    ("timeout: 4294967297", false, "nutcracker quietly uses 1, the number modulo 2^32"),
    (
        "hash_tag: '{}'# comment",
        false,
        "YAML asks for a space before a comment, nutcracker's parser does not",
    ),
    ("timeout: 1\n\t\n  backlog: 5", true, "a tab on an otherwise blank line is nothing"),
    ("timeout: 1\n\t# comment\n  backlog: 5", true, "nor is one before a comment"),
    ("redis: true\n  redis_auth: 'a\nb'", false, "YAML asks the second line of a quoted text to be indented"),
];

#[test]
fn nutcracker_agrees_on_small_files() {
    let Some(judge) = Judge::find("small") else { return };
    let settings =
        SETTINGS.iter().map(|setting| GOOD.replace("  servers", &format!("  {setting}\n  servers")));
    let listen = LISTEN.iter().map(|listen| GOOD.replace("127.0.0.1:22121", listen));
    let servers = SERVERS.iter().map(|line| GOOD.replace("127.0.0.1:6379:1", line));
    let files = FILES.iter().map(|file| (*file).to_owned());
    let wrong: Vec<String> = settings
        .chain(listen)
        .chain(servers)
        .chain(files)
        .filter_map(|text| judge.disagrees(&text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn differences_are_those_we_chose() {
    let Some(judge) = Judge::find("differences") else { return };
    for (setting, ours, why) in DIFFERENCES {
        let text = GOOD.replace("  servers", &format!("  {setting}\n  servers"));
        let accepted = config::load(&text, &config::system_resolver).is_ok();
        assert_eq!(accepted, *ours, "{setting}: {why}");
        assert_eq!(judge.accepts(&text), !ours, "{setting}: {why}");
    }
}

#[test]
fn nutcracker_agrees_on_mutated_files() {
    let Some(judge) = Judge::find("mutated") else { return };
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut wrong = Vec::new();
    for _ in 0..MUTATIONS {
        let text = mutated(&mut random);
        // Both are rows of DIFFERENCES.
        let blank_tab = text.lines().any(|line| line.contains('\t') && line.trim().is_empty());
        let glued_comment = text.contains("\"#") || text.contains("'#");
        if !blank_tab && !glued_comment {
            wrong.extend(judge.disagrees(&text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Judge {
    file: PathBuf,
}

impl Judge {
    fn find(test: &str) -> Option<Self> {
        if !Path::new(NUTCRACKER).exists() {
            eprintln!("skipped: {NUTCRACKER} is not installed");
            return None;
        }
        Some(Self { file: Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("judge-{test}.yml")) })
    }

    fn accepts(&self, text: &str) -> bool {
        std::fs::write(&self.file, text).expect("the target directory can be written");
        let mut nutcracker = Command::new(NUTCRACKER);
        nutcracker.arg("-t").arg("-c").arg(&self.file).stdout(Stdio::null()).stderr(Stdio::null());
        nutcracker.status().expect("nutcracker runs").success()
    }

    fn disagrees(&self, text: &str) -> Option<String> {
        let (ours, theirs) = (config::load(text, &config::system_resolver), self.accepts(text));
        (ours.is_ok() != theirs).then(|| format!("nutcracker accepts: {theirs}, we: {ours:?}\n{text}"))
    }
}

/// One to three edits of a good file.
fn mutated(random: &mut Random) -> String {
    let mut text: Vec<char> = BASES[random.below(BASES.len())].chars().collect();
    for _ in 0..=random.below(3) {
        let place = random.below(text.len());
        match random.below(4) {
            0 => {
                text.remove(place);
            }
            1 | 2 => {
                text.insert(place, EDITS.chars().nth(random.below(EDITS.chars().count())).expect("in it"))
            }
            _ => {
                let whole: String = text.iter().collect();
                let mut lines: Vec<&str> = whole.split_inclusive('\n').collect();
                let (one, other) = (random.below(lines.len()), random.below(lines.len()));
                if random.below(2) == 0 {
                    lines.swap(one, other)
                } else {
                    lines.insert(one, lines[other])
                }
                text = lines.concat().chars().collect();
            }
        }
    }
    text.into_iter().collect()
}

/// xorshift; the same files every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

const MUTATIONS: usize = 400;

const EDITS: &str = " \t\n:-#'\"[]{},&*!|>%@`?.0a1/\r~\\é";

const GOOD: &str = "alpha:\n  listen: 127.0.0.1:22121\n  servers:\n  - 127.0.0.1:6379:1\n";

/// They listen on unix sockets, so that no mutated host name is looked up.
const BASES: &[&str] = &[
    "a:\n  listen: /tmp/a.sock\n  hash: md5\n  hash_tag: \"{}\"\n  timeout: 400\n  redis: true\n  redis_auth: foo\n  \
     servers:\n   - 127.0.0.1:6379:1 x\n   - 127.0.0.2:6379:1\n\n# comment\nbeta:\n  listen: /tmp/b.sock 0666\n  \
     servers:\n  - h:11211:1\n",
    "a:\n    listen: '/tmp/a.sock' # x\n    servers:\n        - 127.0.0.1:6379:1\n    timeout: 400\n    \
     auto_eject_hosts: false\n",
];
