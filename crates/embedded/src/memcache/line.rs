//! A command line: its words, and what they mean as keys and numbers.

use crate::serve::Step;

/// The words of one command line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    words: Vec<&'a [u8]>,
    noreply: bool,
}

impl<'a> Line<'a> {
    /// Splits a line, which is without its newline, at spaces.
    pub(crate) fn new(line: &'a [u8]) -> Line<'a> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words: Vec<&[u8]> = line.split(|&b| b == b' ').filter(|word| !word.is_empty()).collect();
        let noreply = words.len() > 1 && words.last().is_some_and(|word| *word == b"noreply");
        Line { words, noreply }
    }

    /// A word, 0 being the command; empty beyond the last.
    pub(crate) fn word(&self, at: usize) -> &'a [u8] {
        self.words.get(at).copied().unwrap_or_default()
    }

    /// The words from one on.
    pub(crate) fn rest(&self, from: usize) -> &[&'a [u8]] {
        self.words.get(from..).unwrap_or_default()
    }

    /// How many words there are, with the command.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether the last word asks for silence. Meant for commands that know it.
    pub(crate) fn noreply(&self) -> bool {
        self.noreply
    }

    /// The key at a place, if it may be one.
    pub(crate) fn key(&self, at: usize) -> Option<&'a [u8]> {
        let key = self.word(at);
        is_key(key).then_some(key)
    }

    /// A number at a place.
    pub(crate) fn number<N: std::str::FromStr>(&self, at: usize) -> Option<N> {
        number(self.word(at))
    }

    /// Whether it is the first line of an HTTP request.
    pub(crate) fn is_http(&self) -> bool {
        self.len() > 1 && self.words.last().is_some_and(|word| word.starts_with(b"HTTP/"))
    }
}

/// 1 to 250 bytes without control characters (a space cannot be in a word).
pub(crate) fn is_key(key: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.iter().any(u8::is_ascii_control)
}

/// A decimal number. A leading plus is refused, which Rust would take.
pub(crate) fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    if text.starts_with(b"+") { None } else { std::str::from_utf8(text).ok()?.parse().ok() }
}

/// What to do about bytes without a newline: wait, or give up on a line that is too long or no text.
pub(crate) fn unfinished(input: &[u8], out: &mut Vec<u8>) -> Step {
    if input.first() == Some(&BINARY_MAGIC) {
        return Step::Close;
    }
    // Lines that ask for values may name many keys; memcached closes on any other without a word.
    let asks = input.starts_with(b"get ") || input.starts_with(b"gets ");
    if input.len() > LINE_BYTES_MAX && asks {
        out.extend_from_slice(b"CLIENT_ERROR line too long\r\n");
        return Step::Close;
    }
    if input.len() > COMMAND_BYTES_MAX && !asks { Step::Close } else { Step::Wait }
}

/// Longest key, as in memcached.
const KEY_BYTES_MAX: usize = 250;
/// Longest line that asks for nothing, as in memcached 1.6.
const COMMAND_BYTES_MAX: usize = 2048;
/// Longest line that asks for values: memcached knows no bound, this is room for thousands of keys.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// First byte of the binary protocol, which is not spoken here.
const BINARY_MAGIC: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keys_and_numbers() {
        let line = Line::new(b"set  a 5 -1 noreply \r");
        assert_eq!((line.len(), line.word(1), line.word(9)), (5, b"a".as_slice(), b"".as_slice()));
        assert!(line.noreply());
        assert_eq!(
            (line.number::<u32>(2), line.number::<i64>(3), line.number::<u32>(3)),
            (Some(5), Some(-1), None)
        );
        assert!(!Line::new(b"noreply").noreply());
        assert!(Line::new(b"GET / HTTP/1.1\r").is_http());
    }

    #[test]
    fn keys() {
        assert!(is_key(&[b'k'; 250]) && is_key("ключ".as_bytes()));
        assert!(!is_key(&[b'k'; 251]) && !is_key(b"") && !is_key(b"a\0") && !is_key(b"a\t"));
    }

    #[test]
    fn lines_without_an_end() {
        let mut out = Vec::new();
        assert_eq!(unfinished(b"get a", &mut out), Step::Wait);
        assert_eq!(unfinished(&[b'x'; 2049], &mut out), Step::Close);
        assert_eq!(unfinished(&[b"get ".as_slice(), &[b'x'; 9000]].concat(), &mut out), Step::Wait);
        assert_eq!(unfinished(&[BINARY_MAGIC], &mut out), Step::Close);
        assert!(out.is_empty());
        assert_eq!(
            unfinished(&[b"get ".as_slice(), &[b'x'; LINE_BYTES_MAX]].concat(), &mut out),
            Step::Close
        );
        assert_eq!(out, b"CLIENT_ERROR line too long\r\n");
    }
}
