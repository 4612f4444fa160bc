//! A short text inside an event: copied, bounded, and safe to print.

use std::fmt;

/// At most [`Text::MAX`] characters of printable ASCII. What does not fit is cut off; what is not printable, as bytes
/// from the network may be, is escaped, so that nobody can forge a line in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    len: u8,
    bytes: [u8; Text::MAX],
}

impl Text {
    /// The longest text, in characters.
    pub const MAX: usize = 63;

    /// Formats without allocating.
    pub fn format(args: fmt::Arguments<'_>) -> Self {
        let mut text = Self::default();
        _ = fmt::write(&mut text, args); // what is full simply stays as it is
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default() // only ASCII is ever pushed
    }

    fn push(&mut self, byte: u8) -> bool {
        let printable = byte == b' ' || byte.is_ascii_graphic();
        if printable { self.put(byte) } else { std::ascii::escape_default(byte).all(|c| self.put(c)) }
    }

    fn put(&mut self, ascii: u8) -> bool {
        let Some(place) = self.bytes.get_mut(usize::from(self.len)) else { return false };
        *place = ascii;
        self.len += 1;
        true
    }
}

impl Default for Text {
    fn default() -> Self {
        Self { len: 0, bytes: [0; Text::MAX] }
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        let mut text = Self::default();
        _ = bytes.iter().all(|&byte| text.push(byte));
        text
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| self.push(byte)) { Ok(()) } else { Err(fmt::Error) }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_printable() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(Text::from(bytes).as_str(), expected);
        check(b"", "");
        check(b"-ERR unknown command 'x'", "-ERR unknown command 'x'");
        check(b"a\r\nb\x00\xff\x1b[2J", r"a\r\nb\x00\xff\x1b[2J");
        check(&[b'x'; 1000], &"x".repeat(Text::MAX));
        assert_eq!(Text::format(format_args!("{} of {}", 1, "two")).as_str(), "1 of two");
    }
}
