//! Replies of redis that RESP2 and RESP3 write in different ways, as servers send them and clients read them.

use crate::model::weight;
use wire::resp::encode;

/// News that nobody asked for.
pub(crate) const PUSH: &[u8] = b">3\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n_\r\n";

/// The command word by which a server knows its client's protocol: only those of RESP3 begin with a capital.
pub(crate) fn word(word: &[u8], resp3: bool) -> Vec<u8> {
    let mut word = word.to_vec();
    if resp3 {
        word.make_ascii_lowercase();
        word[..1].make_ascii_uppercase();
    }
    word
}

/// Whether a command word is a RESP3 client's.
pub(crate) fn is_resp3(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase)
}

/// A bulk, or none; every fourth question's has an attribute in RESP3.
pub(crate) fn value(key: &[u8], value: Option<&[u8]>, resp3: bool, out: &mut Vec<u8>) {
    let Some(value) = value else { return encode::null(resp3, out) };
    if resp3 && value.starts_with(b"v:") && weight(key) % 4 == 0 {
        attribute(weight(key), out);
    }
    encode::bulk(value, out);
}

fn attribute(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"|1\r\n+popularity\r\n*2\r\n:1\r\n");
    encode::integer(number, out);
}

/// A text for people.
pub(crate) fn text(text: &str, resp3: bool, out: &mut Vec<u8>) {
    match resp3 {
        true => out.extend_from_slice(format!("={}\r\ntxt:{text}\r\n", text.len() + 4).as_bytes()),
        false => encode::bulk(text.as_bytes(), out),
    }
}

/// An error that a server may send as a bulk.
pub(crate) fn error(text: &str, resp3: bool, out: &mut Vec<u8>) {
    match resp3 {
        true => out.extend_from_slice(format!("!{}\r\n{text}\r\n", text.len()).as_bytes()),
        false => encode::error(text.as_bytes(), out),
    }
}

/// LRANGE: an array with a null and arrays in it.
pub(crate) fn range(key: &[u8], from: &[u8], resp3: bool, out: &mut Vec<u8>) {
    encode::array_header(3, out);
    encode::bulk(key, out);
    encode::null(resp3, out);
    encode::array_header(2, out);
    encode::bulk(from, out);
    encode::array_header(0, out);
}

/// HGETALL: a map; its last value is a big number in RESP3.
pub(crate) fn fields(key: &[u8], resp3: bool, out: &mut Vec<u8>) {
    encode::map_header(2, resp3, out);
    encode::bulk(b"key", out);
    encode::bulk(key, out);
    encode::bulk(b"weight", out);
    match resp3 {
        true => out.extend_from_slice(format!("({}0000000000000000000\r\n", weight(key)).as_bytes()),
        false => encode::bulk(weight(key).to_string().as_bytes(), out),
    }
}

/// SMEMBERS: a set; in RESP3 a boolean is in it.
pub(crate) fn members(key: &[u8], resp3: bool, out: &mut Vec<u8>) {
    encode::set_header(2, resp3, out);
    encode::bulk(key, out);
    out.extend_from_slice(if resp3 { b"#t\r\n".as_slice() } else { b":1\r\n" });
}

/// ZSCORE: a double.
pub(crate) fn score(key: &[u8], resp3: bool, out: &mut Vec<u8>) {
    match resp3 {
        true => out.extend_from_slice(format!(",{}.5\r\n", weight(key)).as_bytes()),
        false => encode::bulk(format!("{}.5", weight(key)).as_bytes(), out),
    }
}

/// The keys of a page of SCAN.
pub(crate) fn page(pattern: &str, server: usize, out: &mut Vec<u8>) {
    encode::array_header(1, out);
    encode::bulk(format!("{pattern}@{server}").as_bytes(), out);
}

/// KEYS: of `servers` together, an array, a set or a map by what was asked. A single server's own may have an
/// attribute, which a merged reply loses.
pub(crate) fn names(asked: &str, servers: &[usize], own: bool, resp3: bool, out: &mut Vec<u8>) {
    let kind = weight(asked.as_bytes()) % 3;
    if own && resp3 && servers.iter().any(|server| (weight(asked.as_bytes()) + *server as i64) % 4 == 0) {
        attribute(1, out);
    }
    match kind {
        0 => encode::array_header(servers.len(), out),
        1 => encode::set_header(servers.len(), resp3, out),
        _ => encode::map_header(servers.len(), resp3, out),
    }
    for server in servers {
        encode::bulk(format!("{asked}@{server}").as_bytes(), out);
        if kind == 2 {
            encode::integer(*server as i64, out);
        }
    }
}
