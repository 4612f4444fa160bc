//! The nearest known word to a misspelt one.

/// The word of `known` that `word` was probably meant to be, if any is near enough: at most one edit in
/// three letters, where a swap of neighbours is one edit and case and `-` against `_` are free.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    if word.len() > WORD_LENGTH_MAX {
        return None;
    }
    known
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(edits, candidate)| *edits <= candidate.len().div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// "; did you mean …?", or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(word, known).map(|known| format!("; did you mean \"{known}\"?")).unwrap_or_default()
}

fn plain(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits that turn `a` into `b`: insert, remove, replace, swap two neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut edits = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// Longer than any option; a longer word is not a slip of the finger, and the table would only cost.
const WORD_LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        const KNOWN: &[&str] = &["listen", "timeout", "server_connections", "client_connections", "redis"];
        for (word, expected) in [
            ("timout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("Timeout", Some("timeout")),
            ("server-connections", Some("server_connections")),
            ("server_connection", Some("server_connections")),
            ("lisen", Some("listen")),
            ("reids", Some("redis")),
            ("password", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, KNOWN.iter().copied()), expected, "{word}");
        }
        assert_eq!(nearest(&"timeout".repeat(20), KNOWN.iter().copied()), None);
    }
}
