//! Redis' glob patterns, as COMMAND LIST FILTERBY PATTERN takes them: `*`, `?`, `[a-c]`, `[^a]` and `\`.

/// Whether all of `text` matches `pattern`, in any case. Time is bounded by the product of the lengths.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where to go on after letting the last star take one byte more.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match p.split_first() {
            Some((b'*', rest)) => {
                star = Some((rest, t));
                p = rest;
                continue;
            }
            None if t.is_empty() => return true,
            _ => {}
        }
        if let Some((byte, text)) = t.split_first()
            && let Some(rest) = one(p, *byte)
        {
            (p, t) = (rest, text);
            continue;
        }
        let Some((after, from)) = star else { return false };
        let Some((_, from)) = from.split_first() else { return false };
        star = Some((after, from));
        (p, t) = (after, from);
    }
}

/// Matches one byte with the first element of `pattern`; the rest of the pattern if it does.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let byte = byte.to_ascii_lowercase();
    let is = |other: &u8| other.to_ascii_lowercase() == byte;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (hit, rest) = class(rest, byte);
            hit.then_some(rest)
        }
        [b'\\', escaped, rest @ ..] if is(escaped) => Some(rest),
        [b'\\', _, ..] => None,
        [plain, rest @ ..] if is(plain) => Some(rest),
        _ => None,
    }
}

/// Matches a lower-case byte with what stands in brackets; an unclosed bracket ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut hit = false;
    loop {
        let (low, high, after) = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', escaped, after @ ..] => (*escaped, *escaped, after),
            [low, b'-', high, after @ ..] => (*low, *high, after),
            [plain, after @ ..] => (*plain, *plain, after),
        };
        let (low, high) = (low.to_ascii_lowercase(), high.to_ascii_lowercase());
        hit |= (low.min(high)..=low.max(high)).contains(&byte);
        rest = after;
    }
    (hit != negated, rest)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_as_redis_reads_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "a", false),
            ("conf*", "config|get", true),
            ("CONF*t", "config|get", true),
            ("conf*x", "config|get", false),
            ("*g*t", "config|get", true),
            ("?et", "get", true),
            ("?et", "et", false),
            ("[a-g]et", "get", true),
            ("[^a-g]et", "get", false),
            ("[^a-f]et", "get", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[g", "g", true),
            ("a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
    }
}
