//! Quantities that carry their unit in the type.

use std::fmt;
use std::time::Duration;

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// An amount of data in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Millis {
    /// Reads `30000`, or with a unit `30s`, `500ms`, `5m`, `1h`.
    pub fn from_text(text: &str) -> Option<Self> {
        with_unit(text, &[("", 1), ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]).map(Self)
    }
}

impl Bytes {
    /// Reads `1024`, or with a unit `512b`, `16kb`, `64mb`, `2gb`; a kb is 1024 bytes.
    pub fn from_text(text: &str) -> Option<Self> {
        with_unit(text, &[("", 1), ("b", 1), ("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)]).map(Self)
    }
}

impl From<Millis> for Duration {
    fn from(Millis(ms): Millis) -> Self {
        Duration::from_millis(ms)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Prints in the largest unit that leaves no rest, as [`Bytes::from_text`] reads it back.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Digits followed by one of `units`; `None` for anything else and for what does not fit 64 bits.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?.1;
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("7b", Some(7)),
            ("16kb", Some(16 << 10)),
            ("64mb", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("2gb", Some(2 << 30)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("18446744073709551615kb", None),
            ("", None),
            ("mb", None),
            ("1.5mb", None),
            ("-1", None),
            ("+1", None),
            ("1 mb", None),
            ("1tb", None),
        ] {
            assert_eq!(Bytes::from_text(text), expected.map(Bytes), "{text}");
        }
        for (text, expected) in [
            ("250", Some(250)),
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("x", None),
        ] {
            assert_eq!(Millis::from_text(text), expected.map(Millis), "{text}");
        }
    }

    #[test]
    fn sizes_print_as_they_are_read() {
        for (bytes, text) in
            [(0, "0"), (1, "1"), (1024, "1kb"), (1025, "1025"), (64 << 20, "64mb"), (1536 << 20, "1536mb")]
        {
            assert_eq!(Bytes(bytes).to_string(), text);
            assert_eq!(Bytes::from_text(text), Some(Bytes(bytes)));
        }
    }
}
