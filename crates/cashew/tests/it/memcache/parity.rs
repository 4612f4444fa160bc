//! A pool and a single server are asked the same, row by row and all at once.

use std::io::ErrorKind;
use std::time::Duration;

use testkit::{Client, Memcached};

use super::rows::{ALIKE, UNLIKE};
use crate::farm::Farm;

/// Follows every row: whatever a row does, what comes after it must be understood again.
const MARK: &[u8] = b"set mark 7 0 10\r\nstill here\r\nget mark\r\n";
/// The last reply to `MARK`.
const MARKED: &[u8] = b"VALUE mark 7 10\r\nstill here\r\nEND\r\n";

#[test]
fn a_pool_answers_as_one_server_does() {
    for threads in [1, 2] {
        let farm = Farm::memcached(threads, &[]);
        let (mut pool, mut direct) = sides(&farm);
        let mut differences = Vec::new();
        for row in ALIKE.iter().map(|row| row.to_vec()).chain(generated()) {
            let (ours, right) = (pool.ask(&row), direct.ask(&row));
            if ours != right {
                differences.push(format!(
                    "{}\n  pool:   {}\n  server: {}",
                    shown(&row),
                    shown(&ours),
                    shown(&right)
                ));
            }
        }
        let count = differences.len();
        assert!(count == 0, "{count} replies differ:\n{}", differences.join("\n"));
        for (row, wanted, why) in UNLIKE {
            let ours = [wanted, b"STORED\r\n".as_slice(), MARKED].concat();
            assert_eq!(shown(&pool.ask(row)), shown(&ours), "{}: {why}", shown(row));
        }
    }
}

#[test]
fn a_value_too_large_takes_the_old_one_with_it() {
    let farm = Farm::memcached(1, &[]);
    let (mut pool, mut direct) = sides(&farm);
    for noreply in ["", " noreply"] {
        for bytes in [1 << 20, 3 << 20] {
            for verb in ["set", "add", "replace", "append"] {
                let mut large = format!("{verb} large 0 0 {bytes}{noreply}\r\n").into_bytes();
                large.resize(large.len() + bytes, b'x');
                large.extend_from_slice(b"\r\n");
                for row in [b"set large 0 0 3\r\nold\r\n".to_vec(), large, b"get large\r\n".to_vec()] {
                    let (ours, right) = (pool.ask(&row), direct.ask(&row));
                    assert_eq!(shown(&ours), shown(&right), "{verb}{noreply} {bytes}: {}", shown(&row));
                }
            }
        }
    }
    // The largest that fits.
    let mut row = b"set large 0 0 1000000\r\n".to_vec();
    row.resize(row.len() + 1_000_000, b'x');
    row.extend_from_slice(b"\r\nget large\r\n");
    let (ours, right) = (pool.ask(&row), direct.ask(&row));
    assert_eq!(ours.len(), right.len());
    assert!(ours == right && ours.len() > 1_000_000);
}

#[test]
fn lines_that_end_the_connection_end_it_as_in_memcached() {
    let farm = Farm::memcached(1, &[]);
    let rows = [
        b"quit\r\nget mark\r\n".to_vec(),
        b"quit noreply\r\nget mark\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"x".repeat(3000),
    ];
    for row in rows {
        let request = [MARK, &row].concat();
        let (mut ours, mut right) = (farm.client(), farm.direct.client());
        ours.send(&request);
        right.send(&request);
        assert_eq!(shown(&ended(&mut ours, &row)), shown(&ended(&mut right, &row)), "{}", shown(&row));
    }
    // The connection of others is not touched by any of this.
    let (mut pool, _) = sides(&farm);
    assert!(pool.ask(b"version\r\n").starts_with(b"VERSION "));
}

/// What comes before the end; the server may drop what it has not read, and that resets the connection.
fn ended(client: &mut Client, row: &[u8]) -> Vec<u8> {
    let mut all = client.exactly(b"STORED\r\n".len() + MARKED.len());
    match client.try_to_end() {
        Ok(rest) => all.extend(rest),
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "after {}: {e}", shown(row)),
    }
    all
}

/// Rows that are long.
fn generated() -> Vec<Vec<u8>> {
    let key = |bytes: usize| "k".repeat(bytes);
    let line = |text: String| text.into_bytes();
    // After the last flush_all of the table nothing is left.
    let mut rows: Vec<Vec<u8>> = (0..100)
        .map(|n| line(format!("set many:{n} {n} 0 {}\r\nvalue {n}\r\n", 6 + n.to_string().len())))
        .collect();
    let names: Vec<String> = (0..120).rev().map(|n| format!("many:{n}")).collect();
    let twice = format!("{} {}", names.join(" "), names.join(" "));
    for verb in ["get", "gets", "gat 0", "gats 0"] {
        rows.push(line(format!("{verb} {twice}\r\n")));
    }
    rows.extend([
        line(format!("set {} 0 0 1\r\nx\r\n", key(250))),
        line(format!("get {}\r\n", key(250))),
        line(format!("delete {}\r\n", key(251))),
        line(format!("incr {} 1\r\n", key(251))),
        line(format!("touch {} 0\r\n", key(251))),
        line(format!("get {}\r\n", key(251))),
        line(format!("get many:1 {} many:2\r\n", key(251))),
        line(format!("set blob 0 0 300000\r\n{}\r\n", "0123456789".repeat(30_000))),
        line("get blob many:1 blob\r\n".to_owned()),
    ]);
    rows
}

fn sides(farm: &Farm<Memcached>) -> (Side, Side) {
    (Side::new(farm.client()), Side::new(farm.direct.client()))
}

/// A connection with the unique number it was given last.
struct Side {
    client: Client,
    unique: Vec<u8>,
}

impl Side {
    fn new(mut client: Client) -> Side {
        client.set_deadline(Duration::from_secs(10));
        Side { client, unique: b"1".to_vec() }
    }

    /// All replies to a row and to the mark behind it, unique numbers masked.
    fn ask(&mut self, row: &[u8]) -> Vec<u8> {
        let mut request = replaced(row, b"@cas", &self.unique);
        request.extend_from_slice(MARK);
        self.client.send(&request);
        let mut all = Vec::new();
        loop {
            let reply = self.client.try_memcache_reply();
            let reply = reply.unwrap_or_else(|e| panic!("{}, after {}: {e}", shown(row), shown(&all)));
            if reply == MARKED {
                return [all, reply].concat();
            }
            all.extend(self.masked(&reply));
        }
    }

    fn masked(&mut self, reply: &[u8]) -> Vec<u8> {
        let mut rest = reply;
        let mut out = Vec::new();
        while rest.starts_with(b"VALUE ") {
            let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a whole reply");
            let words: Vec<&[u8]> = rest[..end].split(|byte| *byte == b' ').collect();
            let bytes: usize = String::from_utf8_lossy(words[3]).parse().expect("a length");
            out.extend_from_slice(&words[..4].join(&b' '));
            if let Some(unique) = words.get(4) {
                self.unique = unique.to_vec();
                out.extend_from_slice(b" (unique)");
            }
            let next = end + 2 + bytes + 2;
            out.extend_from_slice(&rest[end..next]);
            rest = &rest[next..];
        }
        out.extend_from_slice(rest);
        out
    }
}

fn replaced(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    match text.windows(what.len()).position(|part| part == what) {
        Some(at) => [&text[..at], with, &text[at + what.len()..]].concat(),
        None => text.to_vec(),
    }
}

fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(300)];
    format!("{}{}", cut.escape_ascii(), if cut.len() < bytes.len() { "..." } else { "" })
}
