//! What a command answers, and its bytes in either version of the protocol.

use std::io::Write;

use super::fault::Fault;
use super::number;

/// The version of RESP a client has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// One reply. RESP3's richer types are written as RESP2 clients know them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Simple(&'static str),
    Int(i64),
    Bulk(Vec<u8>),
    /// A text for people; RESP3 marks it as such.
    Verbatim(String),
    Double(f64),
    /// No value where a bulk string would stand.
    Null,
    /// No value where an array would stand.
    NullArray,
    Array(Vec<Answer>),
    Set(Vec<Answer>),
    Map(Vec<(Answer, Answer)>),
    /// Members with their scores: pairs in RESP3, one flat array in RESP2.
    Scored(Vec<(Vec<u8>, f64)>),
    Fault(Fault),
}

/// `+OK`.
pub(crate) const OK: Answer = Answer::Simple("OK");

impl Answer {
    /// A bulk string.
    pub(crate) fn bulk(bytes: &[u8]) -> Answer {
        Answer::Bulk(bytes.to_vec())
    }

    /// A bulk string or null.
    pub(crate) fn maybe(bytes: Option<&[u8]>) -> Answer {
        bytes.map_or(Answer::Null, Answer::bulk)
    }

    /// 1 or 0.
    pub(crate) fn bool(yes: bool) -> Answer {
        Answer::Int(i64::from(yes))
    }

    /// How many.
    pub(crate) fn count(n: usize) -> Answer {
        Answer::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// An array of bulk strings.
    pub(crate) fn bulks<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> Answer {
        Answer::Array(all.into_iter().map(Answer::bulk).collect())
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, protocol: Protocol, out: &mut Vec<u8>) {
        let new = protocol == Protocol::Resp3;
        match self {
            Answer::Simple(text) => line(out, '+', text),
            Answer::Int(n) => line(out, ':', n),
            Answer::Bulk(bytes) => bulk(out, bytes),
            Answer::Verbatim(text) if new => {
                line(out, '=', text.len() + 4);
                out.extend_from_slice(b"txt:");
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Answer::Verbatim(text) => bulk(out, text.as_bytes()),
            Answer::Double(n) if new => line(out, ',', number::float_text(*n)),
            Answer::Double(n) => bulk(out, number::float_text(*n).as_bytes()),
            Answer::Null | Answer::NullArray if new => out.extend_from_slice(b"_\r\n"),
            Answer::Null => out.extend_from_slice(b"$-1\r\n"),
            Answer::NullArray => out.extend_from_slice(b"*-1\r\n"),
            Answer::Array(all) => many(out, '*', all, protocol),
            Answer::Set(all) => many(out, if new { '~' } else { '*' }, all, protocol),
            Answer::Map(pairs) => {
                if new {
                    line(out, '%', pairs.len())
                } else {
                    line(out, '*', pairs.len() * 2)
                }
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Answer::Scored(pairs) => {
                line(out, '*', if new { pairs.len() } else { pairs.len() * 2 });
                for (member, score) in pairs {
                    if new {
                        line(out, '*', 2);
                    }
                    bulk(out, member);
                    Answer::Double(*score).encode(protocol, out);
                }
            }
            Answer::Fault(fault) => line(out, '-', fault),
        }
    }
}

fn line(out: &mut Vec<u8>, sign: char, text: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{sign}{text}\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, '$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn many(out: &mut Vec<u8>, sign: char, all: &[Answer], protocol: Protocol) {
    line(out, sign, all.len());
    for one in all {
        one.encode(protocol, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_in_both_versions() {
        let one = || Answer::Int(1);
        let rows = [
            (OK, "+OK\r\n", "+OK\r\n"),
            (one(), ":1\r\n", ":1\r\n"),
            (Answer::bulk(b"a\r\n"), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
            (Answer::Verbatim("x".into()), "$1\r\nx\r\n", "=5\r\ntxt:x\r\n"),
            (Answer::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Answer::Null, "$-1\r\n", "_\r\n"),
            (Answer::NullArray, "*-1\r\n", "_\r\n"),
            (Answer::Array(vec![one(), Answer::Null]), "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n"),
            (Answer::Set(vec![one()]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
            (Answer::Map(vec![(one(), one())]), "*2\r\n:1\r\n:1\r\n", "%1\r\n:1\r\n:1\r\n"),
            (
                Answer::Scored(vec![(b"m".to_vec(), 2.0)]),
                "*2\r\n$1\r\nm\r\n$1\r\n2\r\n",
                "*1\r\n*2\r\n$1\r\nm\r\n,2\r\n",
            ),
            (Answer::Fault(Fault::Syntax), "-ERR syntax error\r\n", "-ERR syntax error\r\n"),
        ];
        for (answer, resp2, resp3) in rows {
            for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
                let mut out = Vec::new();
                answer.encode(protocol, &mut out);
                assert_eq!(String::from_utf8_lossy(&out), expected, "{answer:?}");
            }
        }
    }
}
