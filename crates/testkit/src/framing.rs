//! Where a message ends, for the redis and memcached protocols, as servers and clients of either would see
//! it.
//!
//! Written apart from `wire` on purpose: a mistake there must not hide behind the same mistake in its tests.
//! Answers the length of the first message in the bytes, nothing while it is incomplete, or what is wrong
//! with it.

/// The length of the first message, nothing while more bytes are needed, or a sentence saying what is wrong.
pub type Framed = Result<Option<usize>, String>;

/// The end of a RESP2 or RESP3 value. An attribute is part of the value that follows it.
pub fn resp(bytes: &[u8]) -> Framed {
    let mut at = 0;
    // How many values are still to come, per open aggregate; `None` is a streamed one, ended by `.`.
    let mut open: Vec<Option<u64>> = vec![Some(1)];
    while let Some(left) = open.last_mut() {
        if *left == Some(0) {
            open.pop();
            continue;
        }
        let Some(end) = line_end(bytes, at) else { return Ok(None) };
        let line = bytes.get(at..end - 2).unwrap_or_default();
        let Some((&kind, rest)) = line.split_first() else {
            return Err("an empty line in place of a value".into());
        };
        at = end;
        if kind == b'.' && left.is_none() {
            open.pop();
            continue;
        }
        // An attribute does not count: the value it belongs to follows.
        if kind != b'|' {
            *left = left.map(|n| n - 1);
        }
        match kind {
            b'+' | b'-' | b':' | b',' | b'(' | b'#' | b'_' => {}
            b'$' if rest == b"?" => match chunks(bytes, at)? {
                Some(end) => at = end,
                None => return Ok(None),
            },
            b'$' | b'=' | b'!' => match bulk(bytes, at, rest)? {
                Some(end) => at = end,
                None => return Ok(None),
            },
            b'*' | b'~' | b'>' | b'%' | b'|' if rest == b"?" => open.push(None),
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let count = number(rest)?.max(0).unsigned_abs();
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                open.push(Some(count.saturating_mul(each)));
            }
            other => return Err(format!("no RESP type starts with '{}'", other.escape_ascii())),
        }
        if open.len() > 1000 {
            return Err("more than 1000 nested values".into());
        }
    }
    Ok(Some(at))
}

/// The end of a memcached reply of any protocol: the binary one by its header, meta and classic ones by their
/// words.
///
/// `VALUE`, `STAT`, `ITEM` and `CONFIG` replies last until `END` or an error line; any other line is a whole
/// reply.
pub fn memcache_reply(bytes: &[u8]) -> Framed {
    if bytes.first() == Some(&0x81) {
        return Ok(binary(bytes));
    }
    let mut at = 0;
    loop {
        let Some(end) = line_end(bytes, at) else { return Ok(None) };
        let line = bytes.get(at..end - 2).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
        let first = words.first().copied().unwrap_or_default();
        at = end;
        let data = match first {
            b"VALUE" | b"CONFIG" => words.get(3),
            b"VA" => words.get(1),
            b"STAT" | b"ITEM" => continue,
            _ => return Ok(Some(at)),
        };
        let length =
            usize::try_from(number(data.ok_or("a value without a length")?)?).map_err(|e| e.to_string())?;
        let Some(after) = block(bytes, at, length)? else { return Ok(None) };
        at = after;
        if first == b"VA" {
            return Ok(Some(at));
        }
    }
}

/// The end of a request to a redis or memcached server: RESP array, binary packet, or a line with the data it
/// names.
pub fn request(bytes: &[u8]) -> Framed {
    match bytes.first() {
        None => return Ok(None),
        Some(b'*') => return resp(bytes),
        Some(0x80) => return Ok(binary(bytes)),
        Some(_) => {}
    }
    let Some(newline) = bytes.iter().position(|&b| b == b'\n') else { return Ok(None) };
    let line = bytes.get(..newline).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').filter(|w| !w.is_empty()).collect();
    let data = match words.first().copied().unwrap_or_default() {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => words.get(4),
        b"ms" => words.get(2),
        _ => None,
    };
    match data.map(|text| number(text)) {
        // A length that cannot be read swallows nothing, as in memcached.
        None | Some(Err(_)) => Ok(Some(newline + 1)),
        Some(Ok(length)) => match usize::try_from(length) {
            Ok(length) => block(bytes, newline + 1, length),
            Err(_) => Ok(Some(newline + 1)),
        },
    }
}

/// One past the CRLF of the line that starts at `at`.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.windows(2).position(|pair| pair == b"\r\n").map(|n| at + n + 2)
}

fn number(text: &[u8]) -> Result<i64, String> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("'{}' is not a number", text.escape_ascii()))
}

/// The end of a bulk value whose length is `text`; -1 is RESP2's null.
fn bulk(bytes: &[u8], at: usize, text: &[u8]) -> Framed {
    match usize::try_from(number(text)?) {
        Ok(length) => block(bytes, at, length),
        Err(_) => Ok(Some(at)),
    }
}

/// The end of a streamed string: `;n` chunks until `;0`.
fn chunks(bytes: &[u8], mut at: usize) -> Framed {
    loop {
        let Some(end) = line_end(bytes, at) else { return Ok(None) };
        let line = bytes.get(at..end - 2).unwrap_or_default();
        let length = number(line.strip_prefix(b";").ok_or("a streamed string without a chunk")?)?;
        at = end;
        if length <= 0 {
            return Ok(Some(at));
        }
        match bulk(bytes, at, line.get(1..).unwrap_or_default())? {
            Some(after) => at = after,
            None => return Ok(None),
        }
    }
}

/// The end of `length` bytes of data and their CRLF.
fn block(bytes: &[u8], at: usize, length: usize) -> Framed {
    let end = at.checked_add(length).and_then(|n| n.checked_add(2)).ok_or("a length out of range")?;
    match bytes.get(end - 2..end) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some(end)),
        Some(other) => Err(format!("'{}' in place of the CRLF after data", other.escape_ascii())),
    }
}

/// The end of a binary packet: 24 bytes of header, of which 8..12 give the body's length.
fn binary(bytes: &[u8]) -> Option<usize> {
    let body = bytes.get(8..12)?.iter().fold(0usize, |n, &b| (n << 8) | usize::from(b));
    (bytes.len() >= 24 + body).then_some(24 + body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a whole message. It must end exactly there, whatever follows, and be incomplete at every
    /// shorter cut.
    fn check(frame: fn(&[u8]) -> Framed, rows: &[&[u8]]) {
        for row in rows {
            for cut in 0..row.len() {
                assert_eq!(frame(&row[..cut]), Ok(None), "{} cut at {cut}", row.escape_ascii());
            }
            let mut followed = row.to_vec();
            followed.extend_from_slice(b"+next\r\n");
            assert_eq!(frame(&followed), Ok(Some(row.len())), "{}", row.escape_ascii());
        }
    }

    #[test]
    fn resp_values_of_every_type() {
        check(
            resp,
            &[
                b"+OK\r\n",
                b"-ERR x\r\n",
                b":12\r\n",
                b"$3\r\na\r\n\r\n",
                b"$-1\r\n",
                b"$0\r\n\r\n",
                b"*-1\r\n",
                b"*0\r\n",
                b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
                b"_\r\n",
                b"#t\r\n",
                b",1.5\r\n",
                b"(123\r\n",
                b"!5\r\nERR x\r\n",
                b"=7\r\ntxt:abc\r\n",
                b"%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n",
                b"~2\r\n+a\r\n+b\r\n",
                b">2\r\n+a\r\n+b\r\n",
                b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
                b"$?\r\n;2\r\nab\r\n;0\r\n",
                b"*?\r\n:1\r\n*?\r\n.\r\n.\r\n",
            ],
        );
    }

    #[test]
    fn resp_that_cannot_be() {
        for row in [b"?\r\n".as_slice(), b"$x\r\n", b"$1\r\nabc", b"\r\n", b"$?\r\n:1\r\n"] {
            assert!(resp(row).is_err(), "{}", row.escape_ascii());
        }
    }

    #[test]
    fn memcached_replies() {
        check(
            memcache_reply,
            &[
                b"STORED\r\n",
                b"END\r\n",
                b"VALUE a 0 3\r\nEND\r\nVALUE b 0 1 77\r\nx\r\nEND\r\n",
                b"VALUE a 0 1\r\nx\r\nSERVER_ERROR gone\r\n",
                b"STAT pid 1\r\nSTAT x 2\r\nEND\r\n",
                b"VA 5 f0 t-1\r\nEND\r\n\r\n",
                b"HD\r\n",
                b"5\r\n",
                b"MN\r\n",
                b"ME key exp=-1\r\n",
                b"\x81\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0ab",
            ],
        );
    }

    #[test]
    fn requests() {
        check(
            request,
            &[
                b"*1\r\n$4\r\nPING\r\n",
                b"PING\r\n",
                b"get a b\r\n",
                b"set a 0 0 2\r\nhi\r\n",
                b"set a 0 0 2 noreply\n\r\n\r\n",
                b"cas a 0 0 1 9\r\nx\r\n",
                b"ms a 2 T0\r\nhi\r\n",
                b"mn\r\n",
                b"set a 0 0 x\r\n",
                b"set a 0 0 -1\r\n",
                b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ],
        );
    }
}
