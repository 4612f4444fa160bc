//! Every served command against a pool and against one server: `commands.txt` as it stands, then each of its
//! requests on keys of a wrong type, and each command with too few and too many arguments.

use std::collections::BTreeMap;

use engine::command::{self, Command, Route};
use testkit::{Client, resp};
use wire::args::Args;

use super::script::{self, Step};
use crate::farm::Farm;

/// Served commands without a row in the script, with the reason.
const EXEMPT: &[(&str, &str)] = &[];

/// Commands that need no success: what they do well cannot be had in a test.
const NEVER_SUCCEED: &[(&str, &str)] = &[
    ("OBJECT FREQ", "needs another eviction policy"),
    ("ACL GENPASS", "makes another one each time: monitor.rs"),
];

/// The sha1 of `return redis.call('GET',KEYS[1])`.
const SHA: &[u8] = b"620cd258c2c9c88c9d10db67812ccf663d96bdc6";

#[test]
fn a_pool_answers_as_one_server_does() {
    compare_everything("2");
}

#[test]
fn a_pool_answers_as_one_server_does_in_resp3() {
    compare_everything("3");
}

fn compare_everything(protocol: &str) {
    let farm = Farm::redis(2, &[]);
    let mut both = Both { pool: farm.client(), direct: farm.direct.client(), differences: Vec::new() };
    for client in [&mut both.pool, &mut both.direct] {
        let hello = client.ask(&["HELLO", protocol]);
        assert!(!hello.starts_with(b"-"), "{}", hello.escape_ascii());
    }
    let mut steps = script::parse(include_str!("commands.txt"));
    steps.retain(|step| named(&step.argv).is_none_or(|row| is_old(row) || knows(&mut both.direct, row)));

    let mut succeeded = BTreeMap::new();
    let mut dump = Vec::new();
    for step in &steps {
        let argv = step.argv.iter().map(|word| match word.as_slice() {
            b"@sha" => SHA.to_vec(),
            b"@dump" => dump.clone(),
            _ => word.clone(),
        });
        let step = step.with(argv.collect());
        let reply = both.ask(&step);
        if step.argv.iter().any(|word| word == b"DUMP") && reply.starts_with(b"$") && reply != b"$-1\r\n" {
            dump = bulk(&reply);
        }
        if let Some(command) = named(&step.argv) {
            *succeeded.entry(command.name).or_insert(false) |= !reply.starts_with(b"-");
        }
    }
    both.ask_all(&wrong_counts(&steps));
    both.ask_all(&wrong_types(&steps));
    both.report();
    all_served_are_here(&mut both.direct, &succeeded);
}

/// Two connections that are asked the same.
struct Both {
    pool: Client,
    direct: Client,
    differences: Vec<String>,
}

impl Both {
    /// The server's reply; notes where the pool's differs.
    fn ask(&mut self, step: &Step) -> Vec<u8> {
        let request = resp(&step.argv);
        self.direct.send(&request);
        self.pool.send(&request);
        self.compare(step)
    }

    /// As `ask`, in pipelines.
    fn ask_all(&mut self, steps: &[Step]) {
        for some in steps.chunks(PIPELINE) {
            let requests: Vec<u8> = some.iter().flat_map(|step| resp(&step.argv)).collect();
            self.direct.send(&requests);
            self.pool.send(&requests);
            some.iter().for_each(|step| _ = self.compare(step));
        }
    }

    fn compare(&mut self, step: &Step) -> Vec<u8> {
        let right = self.direct.resp_reply();
        let ours = self.pool.try_resp_reply().unwrap_or_else(|e| panic!("{}: {e}", step.shown()));
        if !step.same(&ours, &right) {
            let (ours, right) = (shown(&ours), shown(&right));
            self.differences.push(format!("{}\n  pool:   {ours}\n  server: {right}", step.shown()));
        }
        right
    }

    #[track_caller]
    fn report(&self) {
        let count = self.differences.len();
        assert!(count == 0, "{count} replies differ:\n{}", self.differences.join("\n"));
    }
}

/// Requests that are in flight at once.
const PIPELINE: usize = 300;

/// Each command with one argument too few and, where there is such a number, one too many.
fn wrong_counts(steps: &[Step]) -> Vec<Step> {
    let mut wrong = Vec::new();
    let rows: BTreeMap<&str, &Step> =
        steps.iter().filter_map(|step| Some((named(&step.argv)?.name, step))).collect();
    for (name, step) in rows {
        // Commands of modules count their arguments themselves, and answer in words of their own.
        let Some(command) = named(&step.argv).filter(|row| row.about.module.is_empty()) else { continue };
        let (words, least) = (name.split(' ').count(), usize::from(command.arity.unsigned_abs()));
        if least > words && step.argv.len() >= least {
            wrong.push(step.with(step.argv[..least - 1].to_vec()));
        }
        if command.arity > 0 {
            let mut more = step.argv.clone();
            more.resize(least + 1, b"more".to_vec());
            wrong.push(step.with(more));
        }
    }
    assert!(wrong.len() > 100, "only {} requests of wrong length", wrong.len());
    wrong
}

/// Each request that names keys, with all of them one key that holds a string, then one that holds a list.
fn wrong_types(steps: &[Step]) -> Vec<Step> {
    let mut wrong = Vec::new();
    for step in steps {
        let keys = keys_of(&step.argv);
        if keys.is_empty() {
            continue;
        }
        let key = b"{w}key".to_vec();
        let mut argv = step.argv.clone();
        keys.iter().for_each(|index| argv[*index as usize] = key.clone());
        for prepared in [
            &[b"SET".to_vec(), key.clone(), b"text".to_vec()],
            &[b"RPUSH".to_vec(), key.clone(), b"a".to_vec()],
        ] {
            let prepared = prepared.to_vec();
            wrong.extend(
                [vec![b"DEL".to_vec(), key.clone()], prepared, argv.clone()].map(|argv| step.with(argv)),
            );
        }
    }
    assert!(wrong.len() > 1000, "only {} requests about a wrong type", wrong.len());
    wrong
}

/// The argument numbers of a request's keys; none where it is not taken, or has patterns that go with its keys.
fn keys_of(argv: &[Vec<u8>]) -> Vec<u32> {
    let (mut bytes, mut args) = (Vec::new(), Args::default());
    for word in argv {
        args.push(bytes.len(), bytes.len() + word.len());
        bytes.extend_from_slice(word);
    }
    let view = args.view(&bytes);
    let mut keys = Vec::new();
    match command::find(view) {
        Ok(found) if matches!(found.route, Route::ByKey | Route::Split(_)) => {
            command::patterns(found, view, &mut keys);
            match keys.is_empty() {
                true => _ = command::keys(found, view, &mut keys),
                false => keys.clear(),
            }
        }
        _ => {}
    }
    keys
}

/// The row of the command table that a request is about, whatever the number of its arguments.
fn named(argv: &[Vec<u8>]) -> Option<&'static Command> {
    let word = |index: usize| argv.get(index).map(|word| String::from_utf8_lossy(word).to_uppercase());
    let first = word(0)?;
    let full = word(1).map(|second| format!("{first} {second}"));
    let mut rows =
        Command::table().iter().filter(|row| row.name == first || Some(row.name) == full.as_deref());
    rows.next_back()
}

/// Fails for a command that is served, that the server knows, and that has no row or only failing ones.
fn all_served_are_here(direct: &mut Client, succeeded: &BTreeMap<&str, bool>) {
    let served = |row: &&Command| matches!(row.route, Route::ByKey | Route::Split(_) | Route::Fanout(_));
    let mut checked = 0;
    for row in Command::table().iter().filter(served) {
        if !knows(direct, row) {
            continue;
        }
        checked += 1;
        let exempt = |list: &[(&str, &str)]| list.iter().any(|(name, _)| *name == row.name);
        match succeeded.get(row.name) {
            None => assert!(exempt(EXEMPT), "{} is served and has no row in commands.txt", row.name),
            Some(false) => assert!(exempt(NEVER_SUCCEED), "{} has no row that succeeds", row.name),
            Some(true) => {}
        }
    }
    assert!(checked > 150, "the server knows only {checked} of the served commands");
}

/// Whether every server that these tests can run against knows the command.
fn is_old(row: &Command) -> bool {
    row.about.module.is_empty() && row.about.since <= "7.0.0"
}

fn knows(server: &mut Client, row: &Command) -> bool {
    let reply = server.ask(&["COMMAND", "INFO", &row.full_name()]);
    reply != b"*1\r\n$-1\r\n" && reply != b"*1\r\n*-1\r\n" && reply != b"*1\r\n_\r\n"
}

/// The bytes of a bulk reply.
fn bulk(reply: &[u8]) -> Vec<u8> {
    let start = reply.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    reply[start..reply.len() - 2].to_vec()
}

fn shown(reply: &[u8]) -> String {
    reply[..reply.len().min(300)].escape_ascii().to_string()
}
