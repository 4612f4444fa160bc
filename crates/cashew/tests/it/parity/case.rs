//! Requests as lines of text, `id | word word ...`, and the comparison of what both proxies answer.

use testkit::resp;

use super::pair::{Pair, Seen};
use super::table;

/// What both are asked, and which difference is expected.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// A row of the table, or [`SAME`].
    pub(crate) id: String,
    pub(crate) pool: String,
    pub(crate) request: Vec<u8>,
    /// How many replies there are to wait for.
    pub(crate) replies: usize,
}

/// The id of what must not differ.
pub(crate) const SAME: &str = "same";

/// As [`SAME`], but for the digits of numbers that depend on the clock.
pub(crate) const SAME_BUT_DIGITS: &str = "same-but-digits";

/// Redis requests: each line `id | word word ...`, a word `""` being empty and `\xHH` a byte.
pub(crate) fn redis(pool: &str, lines: &str) -> Vec<Case> {
    let request = |words: &str| (resp(&words.split_whitespace().map(unescape).collect::<Vec<_>>()), 1);
    cases(pool, lines, request)
}

/// Raw bytes: each line `id | bytes`, with `\r`, `\n` and `\xHH`; `id | 3 | bytes` waits for 3 replies.
pub(crate) fn raw(pool: &str, lines: &str) -> Vec<Case> {
    cases(pool, lines, |text| match text.split_once(" | ") {
        Some((replies, bytes)) => (unescape(bytes), replies.trim().parse().expect("a number of replies")),
        None => (unescape(text), 1),
    })
}

fn cases(pool: &str, lines: &str, request: impl Fn(&str) -> (Vec<u8>, usize)) -> Vec<Case> {
    let case = |line: &str| {
        let (id, text) = line.split_once(" | ").unwrap_or_else(|| panic!("no id: {line}"));
        let (request, replies) = request(text);
        Case { id: id.trim().into(), pool: pool.into(), request, replies }
    };
    lines.lines().map(str::trim_start).filter(|line| !line.is_empty()).map(case).collect()
}

/// Asks both and fails with a list of all that is not as the table says.
#[track_caller]
pub(crate) fn compare(pair: &Pair, cases: &[Case]) {
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(pair, case)).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn check(pair: &Pair, case: &Case) -> Option<String> {
    let [theirs, ours] = pair.ask(&case.pool, &case.request, case.replies);
    let same = match case.id.as_str() {
        SAME_BUT_DIGITS => without_digits(&theirs) == without_digits(&ours),
        _ => theirs == ours,
    };
    let expected = matches!(case.id.as_str(), SAME | SAME_BUT_DIGITS);
    let listed = expected || table::rows().iter().any(|row| row.id == case.id);
    let what = match (same, expected) {
        _ if !listed => "has no row in docs/twemproxy.md",
        (true, true) | (false, false) => return None,
        (false, true) => "differs and is not listed",
        (true, false) => "does not differ any more",
    };
    let shown = case.request.get(..200).unwrap_or(&case.request).escape_ascii();
    let Case { id, pool, .. } = case;
    Some(format!("{id} | {pool}: {shown}\n    {what}\n    nutcracker {theirs:?}\n    cashew     {ours:?}"))
}

fn without_digits(seen: &Seen) -> Seen {
    let strip = |bytes: &[u8]| bytes.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect();
    match seen {
        Seen::Replies(bytes) => Seen::Replies(strip(bytes)),
        Seen::Closed(bytes) => Seen::Closed(strip(bytes)),
        Seen::Silence => Seen::Silence,
    }
}

/// `\r`, `\n`, `\t`, `\\` and `\xHH` stand for bytes; `""` for none.
fn unescape(text: &str) -> Vec<u8> {
    if text == "\"\"" {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let mut chars = text.bytes();
    while let Some(byte) = chars.next() {
        bytes.push(match byte {
            b'\\' => match chars.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let digits = [chars.next(), chars.next()].map(|digit| digit.expect("two digits"));
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
                }
                Some(other) => other,
                None => panic!("a lone backslash: {text}"),
            },
            other => other,
        });
    }
    bytes
}
