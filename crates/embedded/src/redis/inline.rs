//! Splits an inline request into words by redis' quoting rules (`sdssplitargs`).

/// The words of a line, or nothing when a quote is not closed or not followed by a space.
pub(crate) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// The first word, and what follows it. Quotes may begin within a word but must end one.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest.split_first() {
            None => return Some((word, rest)),
            Some((b, after)) if b.is_ascii_whitespace() => return Some((word, after)),
            Some((&quote @ (b'"' | b'\''), after)) => {
                let after = quoted(quote, after, &mut word)?;
                return after.first().is_none_or(u8::is_ascii_whitespace).then_some((word, after));
            }
            Some((&b, after)) => {
                word.push(b);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing quote, and answers what follows it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&b, after) = rest.split_first()?;
        rest = after;
        if b == quote {
            return Some(rest);
        }
        if b != b'\\' {
            word.push(b);
            continue;
        }
        match (quote, rest) {
            (b'\'', [b'\'', after @ ..]) => {
                word.push(b'\'');
                rest = after;
            }
            (b'"', [b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (b'"', [escaped, after @ ..]) => {
                word.push(unescape(*escaped));
                rest = after;
            }
            // Within single quotes a backslash is itself.
            _ => word.push(b'\\'),
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit.to_ascii_lowercase() - b'a') + 10,
    }
}

fn unescape(b: u8) -> u8 {
    match b {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, words: Option<&[&str]>) {
        let words = words.map(|words| words.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(split(line.as_bytes()), words, "{line}");
    }

    #[test]
    fn words_and_quotes() {
        check("", Some(&[]));
        check("  \t ", Some(&[]));
        check("set  a\tb ", Some(&["set", "a", "b"]));
        check(r#""a b" 'c d' e"f""#, Some(&["a b", "c d", "ef"]));
        check(r#""\x41\n\q\"" 'it\'s \n'"#, Some(&["A\nq\"", "it's \\n"]));
        check(r#""\x4" ''"#, Some(&["x4", ""]));
        check(r#""open"#, None);
        check("'open", None);
        check(r#""a"b"#, None);
        check(r#""a\"#, None);
    }
}
