//! Line ends and integers, fast. The places that look at every byte of a message are here, which is also
//! where tests count how many bytes were looked at.

use memchr::memchr;

/// Position of the first `byte` in `buf[from..to]`, as an index into `buf`.
#[inline]
pub(crate) fn find(byte: u8, buf: &[u8], from: usize, to: usize) -> Option<usize> {
    let window = buf.get(from..to.min(buf.len()))?;
    let found = memchr(byte, window).map(|at| from + at);
    tally(found.map_or(window.len(), |at| at - from));
    found
}

/// A canonical decimal length at `at` followed by CRLF: the number and where the next line begins.
///
/// Nothing for whatever is unfinished, negative, not canonical or too long: the caller's slow path tells
/// these apart.
#[inline]
pub(crate) fn length(buf: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = buf.get(at..)?;
    // Nearly all are this short.
    let (value, used) = match *rest {
        [one, b'\r', b'\n', ..] => (digit(one)?, 1),
        _ => match rest.first_chunk().and_then(two_digits) {
            Some(value) => (value, 2),
            None => long_length(rest)?,
        },
    };
    tally(used);
    Some((value, at + used + 2))
}

/// The number that two digits and CRLF make.
#[inline]
fn two_digits(text: &[u8; 4]) -> Option<u64> {
    // Of a digit, and of each byte of the line end, this leaves its value.
    let values = u32::from_le_bytes(*text) ^ u32::from_le_bytes(*b"00\r\n");
    let wrong = (values | values.wrapping_add(0x7676)) & 0xffff_8080;
    let (tens, ones) = (values & 0xff, values >> 8);
    (wrong == 0 && tens != 0).then_some(u64::from(tens * 10 + ones))
}

/// The same of any number of digits: the number and how many they are.
fn long_length(rest: &[u8]) -> Option<(u64, usize)> {
    let first = digit(*rest.first()?)?;
    let mut value = first;
    let mut used = 1;
    while let Some(next) = rest.get(used).copied().and_then(digit) {
        // A number that goes on after a zero is not canonical; one of more than 18 digits may not fit.
        if first == 0 || used >= 18 {
            return None;
        }
        value = value * 10 + next;
        used += 1;
    }
    tally(used);
    (rest.get(used..used + 2)? == b"\r\n").then_some((value, used))
}

/// Where the bytes begin and end that `$5` and CRLF at `at` announce, if they are all there with the CRLF behind them.
#[inline]
pub(crate) fn value(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = buf.get(at..).filter(|rest| rest.first() == Some(&b'$'))?;
    let (bytes, start) = length(rest, 1)?;
    let end = usize::try_from(bytes).ok()?.checked_add(start)?;
    (crlf(rest, end) == Some(true)).then_some((at + start, at + end))
}

/// Where the word at `at` ends: at the first blank or control character. Nothing while there is none. For words of keys'
/// length; looking for one certain byte in more is [`find`]'s.
#[inline]
pub(crate) fn word_end(buf: &[u8], at: usize) -> Option<usize> {
    let rest = buf.get(at..)?;
    let (chunks, tail) = rest.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let ends = word_ends(u64::from_le_bytes(*chunk));
        if ends != 0 {
            let end = index * 8 + ends.trailing_zeros() as usize / 8;
            tally(end);
            return Some(at + end);
        }
    }
    tally(rest.len());
    let end = tail.iter().position(|byte| matches!(byte, 0..=b' ' | 0x7f))?;
    Some(at + rest.len() - tail.len() + end)
}

/// The highest bit of the first byte of eight, in the order of memory, that ends a word; none where none does. Bits of bytes
/// behind that one mean nothing.
#[inline]
fn word_ends(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below_mark = eight.wrapping_sub(ONES * (b' ' as u64 + 1));
    let delete = (eight & (ONES * 0x7f)) + ONES;
    (below_mark | delete) & !eight & (ONES * 0x80)
}

/// The bytes of `buf` that lie within a bound.
#[inline]
pub(crate) fn within(buf: &[u8], bytes: u64) -> &[u8] {
    buf.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).unwrap_or(buf)
}

/// Whether `buf[at..at + 2]` is CRLF; nothing while it is not all there.
#[inline]
pub(crate) fn crlf(buf: &[u8], at: usize) -> Option<bool> {
    tally(2);
    buf.get(at..)?.get(..2).map(|end| end == b"\r\n")
}

/// A number as redis reads lengths: no sign but `-`, no leading zero, no `-0`.
pub(crate) fn canonical(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] if digits.len() == text.len() => Some(0),
        [b'1'..=b'9', ..] => signed(text),
        _ => None,
    }
}

/// A signed 64-bit number, `+` and leading zeros allowed, as C's `strtoll` reads it.
pub(crate) fn signed(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => 0i64.checked_sub_unsigned(magnitude(digits)?),
        [b'+', digits @ ..] => i64::try_from(magnitude(digits)?).ok(),
        digits => i64::try_from(magnitude(digits)?).ok(),
    }
}

/// An unsigned 64-bit number, `+` and leading zeros allowed, as C's `strtoull` reads it but without `-`.
#[inline]
pub(crate) fn unsigned(text: &[u8]) -> Option<u64> {
    magnitude(text.strip_prefix(b"+").unwrap_or(text))
}

#[inline]
fn magnitude(digits: &[u8]) -> Option<u64> {
    tally(digits.len());
    if digits.is_empty() {
        return None;
    }
    let step = |value: u64, &byte: &u8| value.checked_mul(10)?.checked_add(digit(byte)?);
    digits.iter().try_fold(0, step)
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(value as u64)
}

/// Whether any byte is a control character (below blank, or DEL). Written to be vectorized.
#[inline]
pub(crate) fn has_control(text: &[u8]) -> bool {
    tally(text.len());
    text.iter().fold(false, |found, &byte| found | (byte < b' ') | (byte == 0x7f))
}

/// Counts bytes looked at, in tests only.
#[inline(always)]
pub(crate) fn tally(_bytes: usize) {
    #[cfg(test)]
    work::add(_bytes);
}

/// How many bytes and steps the scanners of this thread have looked at.
#[cfg(test)]
pub(crate) mod work {
    use std::cell::Cell;

    thread_local!(static WORK: Cell<u64> = const { Cell::new(0) });

    pub(crate) fn add(bytes: usize) {
        WORK.set(WORK.get() + bytes as u64 + 1);
    }

    pub(crate) fn take() -> u64 {
        WORK.replace(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let check = |text: &str, expected| assert_eq!(length(text.as_bytes(), 0), expected, "{text:?}");
        check("0\r\n", Some((0, 3)));
        check("10\r\nx", Some((10, 4)));
        check("999999999999999999\r\n", Some((999_999_999_999_999_999, 20)));
        for text in
            ["", "\r\n", "01\r\n", "00\r\n", "-1\r\n", "+1\r\n", "1", "1\r", "1\n", "1 \r\n", "1x\r\n"]
        {
            check(text, None);
        }
        check("1000000000000000000\r\n", None);
        for (a, b) in (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| (a, b))) {
            let good = (b'1'..=b'9').contains(&a) && b.is_ascii_digit();
            let expected = good.then(|| (u64::from(a - b'0') * 10 + u64::from(b - b'0'), 4));
            if (a, b) != (b'\r', b'\n') && b != b'\r' {
                assert_eq!(length(&[a, b, b'\r', b'\n'], 0), expected, "{a} {b}");
            }
            assert_eq!(length(&[b'1', b'2', a, b], 0).is_some(), (a, b) == (b'\r', b'\n'), "{a} {b}");
        }
        assert_eq!(length(b"1\r\n", 7), None);
    }

    #[test]
    fn numbers() {
        let check = |text: &str, strict, lax, natural| {
            let seen = (canonical(text.as_bytes()), signed(text.as_bytes()), unsigned(text.as_bytes()));
            assert_eq!(seen, (strict, lax, natural), "{text:?}");
        };
        check("0", Some(0), Some(0), Some(0));
        check("-1", Some(-1), Some(-1), None);
        check("+1", None, Some(1), Some(1));
        check("-0", None, Some(0), None);
        check("007", None, Some(7), Some(7));
        check("-007", None, Some(-7), None);
        check("9223372036854775807", Some(i64::MAX), Some(i64::MAX), Some(i64::MAX as u64));
        check("-9223372036854775808", Some(i64::MIN), Some(i64::MIN), None);
        check("9223372036854775808", None, None, Some(1 << 63));
        check("-9223372036854775809", None, None, None);
        check("18446744073709551615", None, None, Some(u64::MAX));
        check("18446744073709551616", None, None, None);
        for text in ["", "-", "+", "--1", "+-1", "1x", " 1", "1 ", "x"] {
            check(text, None, None, None);
        }
    }

    #[test]
    fn words_end_at_blanks_and_control_characters() {
        for byte in 0..=255u8 {
            let ends = byte <= b' ' || byte == 0x7f;
            for before in 0..20 {
                // What follows must not matter, nor what is in the word.
                let text = [&b"a\x80\xff~!z"[..], &b"k".repeat(before), &[byte, b' ', 0x7f], b"b"].concat();
                let expected = 6 + before + usize::from(!ends);
                assert_eq!(word_end(&text, 0), Some(expected), "{byte} after {before}");
                assert_eq!(word_end(&text[..6 + before], 0), None);
                assert_eq!(word_end(&text, 3), Some(expected));
            }
        }
        assert_eq!((word_end(b"", 0), word_end(b"a", 2)), (None, None));
    }

    #[test]
    fn control_characters() {
        for byte in 0..=255u8 {
            let text = [b'a', b'b', byte, b'c'];
            assert_eq!(has_control(&text), byte < 32 || byte == 127, "{byte}");
        }
    }
}
