//! Matching of names against patterns, by redis' rules (`stringmatchlen`).

/// Whether all of `text` matches: `*` any bytes, `?` one, `[a-c]` one of a class, `[^a]` none, `\x` itself.
///
/// Takes time proportional to the product of both lengths at most, whatever the pattern.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where the last star stood, and the text it was tried on: going back further is never needed.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = p {
            retry = Some((rest, t));
            p = rest;
            continue;
        }
        if let Some((&first, after)) = t.split_first() {
            if let Some(rest) = one(p, first) {
                (p, t) = (rest, after);
                continue;
            }
        } else if p.is_empty() {
            return true;
        }
        match retry {
            Some((star, [_, after @ ..])) => {
                retry = Some((star, after));
                (p, t) = (star, after);
            }
            _ => return false,
        }
    }
}

/// The pattern after the part that `b` matches, or nothing when it does not.
fn one(pattern: &[u8], b: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, b),
        [b'\\', escaped, rest @ ..] => (*escaped == b).then_some(rest),
        [literal, rest @ ..] => (*literal == b).then_some(rest),
        [] => None,
    }
}

/// A class after its bracket. One without an end goes to the end of the pattern.
fn class(rest: &[u8], b: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match rest {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => return (found != negated).then_some(rest),
            [b']', after @ ..] => return (found != negated).then_some(after),
            [b'\\', escaped, after @ ..] => {
                found |= *escaped == b;
                after
            }
            [from, b'-', to, after @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&b);
                after
            }
            [literal, after @ ..] => {
                found |= *literal == b;
                after
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let rows = [
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a]x", "bx", true),
            ("[^a]x", "ax", false),
            ("[]", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[ab", "b", true),
            ("", "", true),
            ("", "a", false),
            ("a**b*", "aXb", true),
            ("user:*:name", "user:1:name", true),
            ("h[ae]llo", "hillo", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&b"*a".repeat(1000), &[b'a'; 900]));
        assert!(matches(&b"*a".repeat(500), &[b'a'; 900]));
    }
}
