//! What a server says of its commands (COMMAND DOCS), kept as it came, so that any part of it can be said again.
//!
//! A server says it in the protocol that it is asked in; nothing is converted. Only what a container contains is put together
//! anew: subcommands that clients do not have are left out.

use std::collections::BTreeMap;
use std::ops::Range;

use wire::resp::encode::map_header;
use wire::resp::reply::{bulk, elements};

use super::{Command, Scope, info};

/// A server's reply to COMMAND DOCS.
#[derive(Debug)]
pub struct Book {
    bytes: Vec<u8>,
    /// By name as redis writes it: `get`, `config|get`.
    docs: BTreeMap<Vec<u8>, Doc>,
}

/// Where a command's name and what is said of it lie, each a whole element.
#[derive(Debug)]
struct Doc {
    name: Range<usize>,
    body: Range<usize>,
    /// Among the latter, what is said of its subcommands.
    parts: Option<Range<usize>>,
}

impl Book {
    /// Of a whole reply; nothing where it is an error, or not of the form that redis has had since 7.0.
    pub fn read(reply: &[u8]) -> Option<Book> {
        let mut book = Book { bytes: reply.to_vec(), docs: BTreeMap::new() };
        for (name, body) in pairs(reply, 0..reply.len())? {
            let fields = pairs(reply, body.clone()).unwrap_or_default();
            let is_parts = |key: &Range<usize>| bulk(&reply[key.clone()]) == Some(b"subcommands");
            let parts = fields.into_iter().find(|(key, _)| is_parts(key)).map(|(_, value)| value);
            for (name, body) in parts.iter().flat_map(|parts| pairs(reply, parts.clone())).flatten() {
                book.add(Doc { name, body, parts: None });
            }
            book.add(Doc { name, body, parts });
        }
        (!book.docs.is_empty()).then_some(book)
    }

    fn add(&mut self, doc: Doc) {
        if let Some(name) = bulk(&self.bytes[doc.name.clone()]) {
            self.docs.insert(name.to_ascii_lowercase(), doc);
        }
    }

    /// Bytes that it takes, about.
    pub fn room(&self) -> usize {
        self.bytes.capacity() + self.docs.len() * 2 * size_of::<Doc>()
    }

    /// Appends a command's name and what is said of it to clients that have the commands in `scope`; answers whether anything
    /// is known of it. `resp3`: the server was asked in it.
    pub(super) fn write(&self, command: &Command, scope: Scope<'_>, resp3: bool, out: &mut Vec<u8>) -> bool {
        let Some(doc) = self.docs.get(command.full_name().as_bytes()) else { return false };
        out.extend_from_slice(&self.bytes[doc.name.clone()]);
        let Some(parts) = &doc.parts else {
            out.extend_from_slice(&self.bytes[doc.body.clone()]);
            return true;
        };
        let name = |part: &Range<usize>| bulk(&self.bytes[part.clone()]).unwrap_or(&[]);
        let mut told = pairs(&self.bytes, parts.clone()).unwrap_or_default();
        told.retain(|(part, _)| scope.by_name(name(part)).is_some());
        // Those that this server does not have.
        let others = scope.parts(command).filter(|part| !self.docs.contains_key(part.full_name().as_bytes()));
        let others: Vec<&Command> = others.collect();
        let count = told.len() + others.len();
        let fields = pairs(&self.bytes, doc.body.clone()).unwrap_or_default();
        map_header(fields.len() - usize::from(count == 0), resp3, out);
        for (key, value) in fields {
            if value != *parts {
                out.extend_from_slice(&self.bytes[key.start..value.end]);
            } else if count > 0 {
                out.extend_from_slice(&self.bytes[key]);
                map_header(count, resp3, out);
                told.iter().for_each(|(key, value)| out.extend_from_slice(&self.bytes[key.start..value.end]));
                others.iter().for_each(|part| info::docs(part, scope, resp3, out));
            }
        }
        true
    }
}

/// The pairs of the map at `range`, or of an array of pairs: where each key and its value lie. Nothing where it is neither.
fn pairs(bytes: &[u8], range: Range<usize>) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let map = bytes.get(range.clone())?;
    let (count, mut elements) = elements(map)?;
    let mut pairs = Vec::new();
    loop {
        let start = range.end - elements.rest().len();
        let Some(key) = elements.next() else { break };
        let middle = start + key.len();
        pairs.push((start..middle, middle..middle + elements.next()?.len()));
    }
    (pairs.len().checked_mul(2) == Some(count)).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CommandReply, CommandSet};
    use wire::args::Args;

    const RESP2: &[u8] = b"*6\r\n$3\r\nget\r\n*2\r\n$7\r\nsummary\r\n$3\r\nGet\r\n$6\r\nobject\r\n*4\r\n$5\r\nsince\r\n\
        $3\r\n2.0\r\n$11\r\nsubcommands\r\n*4\r\n$11\r\nobject|help\r\n*0\r\n$11\r\nobject|what\r\n*0\r\n$3\r\nfoo\r\n*0\r\n";
    const RESP3: &[u8] =
        b"%1\r\n$6\r\nobject\r\n%1\r\n$11\r\nsubcommands\r\n%1\r\n$11\r\nobject|freq\r\n%0\r\n";

    fn asked(words: &[&str], scope: Scope<'_>, resp3: bool) -> String {
        let (mut args, mut bytes, mut out) = (Args::default(), Vec::new(), Vec::new());
        for word in words {
            args.push(bytes.len(), bytes.len() + word.len());
            bytes.extend_from_slice(word.as_bytes());
        }
        info::write(CommandReply::Docs, args.view(&bytes), scope, resp3, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_told_is_said_again_but_for_what_clients_do_not_have() {
        let book = Book::read(RESP2).unwrap();
        let scope = Scope { book: Some(&book), ..Scope::default() };
        let docs = |words: &[&str]| asked(&[&["COMMAND", "DOCS"], words].concat(), scope, false);
        assert_eq!(docs(&["GET"]), "*2\r\n$3\r\nget\r\n*2\r\n$7\r\nsummary\r\n$3\r\nGet\r\n");
        assert_eq!(docs(&["object|help"]), "*2\r\n$11\r\nobject|help\r\n*0\r\n");
        assert_eq!(docs(&["foo", "object|what"]), "*0\r\n", "nobody has them");
        let text = docs(&["object"]);
        let start = "*2\r\n$6\r\nobject\r\n*4\r\n$5\r\nsince\r\n$3\r\n2.0\r\n$11\r\nsubcommands\r\n*10\r\n$11\r\nobject|help\r\n*0\r\n";
        assert!(text.starts_with(start) && !text.contains("what"), "{text}");
        assert!(text.contains("object|freq\r\n*") && text.matches("object|help").count() == 1, "{text}");
        assert!(docs(&["set"]).contains("Sent to the server of its key"), "what is not told is known");
        assert!(docs(&[]).contains("$7\r\nsummary\r\n$3\r\nGet\r\n"));
    }

    #[test]
    fn what_is_switched_off_is_left_out() {
        let book = Book::read(RESP3).unwrap();
        let off = CommandSet::of(["object|help", "object|encoding", "object|idletime", "object|refcount"]);
        let scope = Scope { book: Some(&book), disabled: off.as_ref(), ..Scope::default() };
        assert_eq!(
            asked(&["COMMAND", "DOCS", "object"], scope, true).as_bytes(),
            [b"%1\r\n".as_slice(), &RESP3[4..]].concat()
        );
        let off = CommandSet::of(["object|freq"]);
        let scope = Scope { book: Some(&book), disabled: off.as_ref(), ..Scope::default() };
        assert!(!asked(&["COMMAND", "DOCS", "object"], scope, true).contains("freq"));
        let off = CommandSet::of(["object"]);
        let scope = Scope { book: Some(&book), disabled: off.as_ref(), ..Scope::default() };
        assert_eq!(asked(&["COMMAND", "DOCS", "object", "object|freq"], scope, true), "%0\r\n");
    }

    #[test]
    fn other_replies_tell_nothing() {
        for reply in [
            &b"-ERR unknown subcommand\r\n"[..],
            b"*0\r\n",
            b"%0\r\n",
            b"$-1\r\n",
            b"*1\r\n$1\r\na\r\n",
            b":1\r\n",
            b"",
        ] {
            assert!(Book::read(reply).is_none(), "{}", reply.escape_ascii());
        }
        for cut in 0..RESP2.len() {
            assert!(Book::read(&RESP2[..cut]).is_none());
        }
        // Whatever the shape of what is said of a command.
        let book = Book::read(b"*4\r\n$3\r\nget\r\n:1\r\n:5\r\n*1\r\n$11\r\nsubcommands\r\n").unwrap();
        let scope = Scope { book: Some(&book), ..Scope::default() };
        assert_eq!(asked(&["COMMAND", "DOCS", "get"], scope, false), "*2\r\n$3\r\nget\r\n:1\r\n");
    }
}
