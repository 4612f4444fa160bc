//! Requests written as text, and how their replies are compared.

use std::borrow::Cow;

use testkit::{RedisServer, framing};

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) argv: Vec<Vec<u8>>,
    pub(super) compare: Compare,
    /// Where it stands in the text, for messages.
    pub(super) line: usize,
}

/// What of two replies must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// Every byte.
    Bytes,
    /// The elements of an array and of the arrays in it, in any order.
    Elements,
    /// All but integers.
    Shape,
    /// Every byte, where the server is a redis 7.0.
    Words,
}

impl Step {
    /// The words of the request in text, for messages.
    pub(crate) fn shown(&self) -> String {
        let words: Vec<String> = self.argv.iter().map(|word| word.escape_ascii().to_string()).collect();
        format!("line {}: {}", self.line, words.join(" "))
    }

    /// Whether two replies are the same as far as they are compared.
    pub(crate) fn same(&self, one: &[u8], other: &[u8]) -> bool {
        self.compare.view(one) == self.compare.view(other)
    }

    /// The same comparison of another request.
    pub(super) fn with(&self, argv: Vec<Vec<u8>>) -> Step {
        Step { argv, compare: self.compare, line: self.line }
    }
}

/// Reads a script; the form is explained at the head of `commands.txt`.
pub(super) fn parse(text: &str) -> Vec<Step> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (compare, rest) = match line.split_at(2.min(line.len())) {
                ("~ ", rest) => (Compare::Elements, rest),
                ("? ", rest) => (Compare::Shape, rest),
                ("7 ", rest) => (Compare::Words, rest),
                _ => (Compare::Bytes, line),
            };
            Step { argv: words(rest, number), compare, line: number }
        })
        .collect()
}

fn words(text: &str, line: usize) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = unquote(quoted.as_bytes(), line);
            words.push(word);
            rest = &quoted[after..];
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            words.push(rest.as_bytes()[..end].to_vec());
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    words
}

/// The word before the closing quote, and where the text goes on.
fn unquote(text: &[u8], line: usize) -> (Vec<u8>, usize) {
    let mut word = Vec::new();
    let mut at = 0;
    loop {
        let here = &text[at..];
        let (byte, length) = match here {
            [b'"', ..] => return (word, at + 1),
            [b'\\', b'x', high, low, ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two ASCII digits");
                (u8::from_str_radix(digits, 16).unwrap_or_else(|e| panic!("line {line}: {e}")), 4)
            }
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', byte, ..] => (*byte, 2),
            [byte, ..] => (*byte, 1),
            [] => panic!("line {line}: a quote is not closed"),
        };
        word.push(byte);
        at += length;
    }
}

impl Compare {
    /// A reply as far as it is compared.
    pub(super) fn view<'r>(self, reply: &'r [u8]) -> Cow<'r, [u8]> {
        match self {
            Compare::Words if !RedisServer::speaks_7_0() => Cow::Borrowed(b""),
            Compare::Bytes | Compare::Words => Cow::Borrowed(reply),
            Compare::Elements => Cow::Owned(sorted(reply)),
            Compare::Shape => Cow::Owned(masked(reply)),
        }
    }
}

/// The elements of an array, set or map and what comes before them.
fn elements(reply: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let head = reply.windows(2).position(|pair| pair == b"\r\n")? + 2;
    if !matches!(reply.first(), Some(b'*' | b'~' | b'%')) {
        return None;
    }
    let (head, mut rest) = reply.split_at(head);
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = framing::resp(rest).expect("a whole reply holds whole elements")?;
        let (element, after) = rest.split_at(length);
        found.push(element);
        rest = after;
    }
    Some((head, found))
}

fn sorted(reply: &[u8]) -> Vec<u8> {
    let Some((head, found)) = elements(reply) else { return reply.to_vec() };
    let mut found: Vec<Vec<u8>> = found.into_iter().map(sorted).collect();
    found.sort();
    [head.to_vec(), found.concat()].concat()
}

fn masked(reply: &[u8]) -> Vec<u8> {
    match elements(reply) {
        Some((head, found)) => {
            [head.to_vec(), found.into_iter().map(masked).collect::<Vec<_>>().concat()].concat()
        }
        None if reply.starts_with(b":") => b":#\r\n".to_vec(),
        None => reply.to_vec(),
    }
}

#[test]
fn a_script_is_read() {
    let steps = parse("# note\n\nGET a\n~ KEYS *\n? SET \"a b\\x00\\r\\n\\\"\" \"\" c\n7 ROLE\n");
    let words: Vec<Vec<&[u8]>> =
        steps.iter().map(|step| step.argv.iter().map(Vec::as_slice).collect()).collect();
    assert_eq!(
        words,
        [
            vec![&b"GET"[..], b"a"],
            vec![b"KEYS", b"*"],
            vec![b"SET", b"a b\0\r\n\"", b"", b"c"],
            vec![b"ROLE"]
        ]
    );
    let compares: Vec<Compare> = steps.iter().map(|step| step.compare).collect();
    assert_eq!(compares, [Compare::Bytes, Compare::Elements, Compare::Shape, Compare::Words]);
}

#[test]
fn replies_are_compared_as_asked() {
    let check = |compare: Compare, a: &[u8], b: &[u8], same: bool| {
        assert_eq!(compare.view(a) == compare.view(b), same, "{compare:?} {}", a.escape_ascii());
    };
    check(Compare::Bytes, b":1\r\n", b":2\r\n", false);
    check(Compare::Shape, b"*2\r\n:1\r\n$1\r\na\r\n", b"*2\r\n:2\r\n$1\r\na\r\n", true);
    check(Compare::Shape, b"*2\r\n:1\r\n$1\r\na\r\n", b"*2\r\n:2\r\n$1\r\nb\r\n", false);
    check(Compare::Elements, b"*2\r\n+a\r\n*2\r\n:1\r\n:2\r\n", b"*2\r\n*2\r\n:2\r\n:1\r\n+a\r\n", true);
    check(Compare::Elements, b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+a\r\n+a\r\n", false);
}
