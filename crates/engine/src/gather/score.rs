//! Scores as redis reads and writes them.

use std::io::Write;
use wire::resp::encode;

/// How a server writes numbers with a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// The fewest digits that make the same number: 0.1. From redis 7.2 on. (Redis' own way, Grisu2, misses the fewest in one number
    /// of a thousand: it has 99999999999999990000000 for 1e23, which is the same number.)
    #[default]
    Short,
    /// 17 digits: 0.10000000000000001. Before.
    Long,
}

impl Form {
    /// The form of a number that a server has written, where it tells.
    pub(crate) fn of(text: &[u8], score: f64) -> Option<Form> {
        if !text.iter().any(|byte| matches!(byte, b'.' | b'e')) {
            return None;
        }
        let (short, long) = (text_of(score, Form::Short), text_of(score, Form::Long));
        match () {
            () if short == long => None,
            () if text == short => Some(Form::Short),
            () if text == long => Some(Form::Long),
            () => None,
        }
    }
}

/// A number as redis takes it in a request, but for C's hexadecimal form. Nothing where it has no place among doubles.
pub(super) fn parse(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok().filter(|number: &f64| !number.is_nan())?;
    let infinite = text.bytes().any(|byte| matches!(byte, b'n' | b'N'));
    if number.is_infinite() != infinite {
        return None;
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    if number == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        return None;
    }
    Some(number)
}

/// A score in a reply.
pub(super) fn write(score: f64, form: Form, resp3: bool, out: &mut Vec<u8>) {
    let text = text_of(score, form);
    if !resp3 {
        return encode::bulk(&text, out);
    }
    out.push(b',');
    out.extend_from_slice(&text);
    out.extend_from_slice(b"\r\n");
}

/// Integers up to here have all their digits in the short form (redis' double2ll): half of the greatest 64-bit one.
const SHORT_WHOLE: f64 = (1u64 << 62) as f64;

/// The same of the long form, which has 17 digits.
const LONG_WHOLE: f64 = 1e16;

fn text_of(score: f64, form: Form) -> Vec<u8> {
    let mut text = Vec::with_capacity(24);
    if score.is_infinite() {
        text.extend_from_slice(if score > 0.0 { b"inf" } else { b"-inf" });
        return text;
    }
    if score.is_sign_negative() {
        text.push(b'-');
    }
    let score = score.abs();
    let whole_below = if form == Form::Short { SHORT_WHOLE } else { LONG_WHOLE };
    if score <= whole_below && score.fract() == 0.0 {
        encode::decimal(score as u64, &mut text);
        return text;
    }
    // Both ways give the first digit, a point, the others, and the power of ten.
    let digits = match form {
        Form::Short => format!("{score:e}"),
        Form::Long => format!("{score:.16e}"),
    };
    let (mantissa, power) = digits.split_once('e').unwrap_or((&digits, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    let zeros = digits.iter().rev().take_while(|byte| **byte == b'0').count();
    let digits = &digits[..(digits.len() - zeros).max(1)];
    match form {
        Form::Short => short(digits, power, &mut text),
        Form::Long => long(digits, power, &mut text),
    }
    text
}

/// As C's `%.17g`.
fn long(digits: &[u8], power: i32, out: &mut Vec<u8>) {
    if (-4..17).contains(&power) {
        return plain(digits, power, out);
    }
    scientific(digits, out);
    let sign = if power < 0 { '-' } else { '+' };
    _ = write!(out, "e{sign}{:02}", power.unsigned_abs());
}

/// As redis' fpconv.
fn short(digits: &[u8], power: i32, out: &mut Vec<u8>) {
    let count = digits.len() as i32;
    // By how much the number is larger than its digits read as an integer.
    let shift = power - (count - 1);
    let is_plain = match shift {
        0.. => power < count + 7,
        _ => shift > -7 || power.abs() < 4,
    };
    if is_plain {
        return plain(digits, power, out);
    }
    scientific(digits, out);
    _ = write!(out, "e{power:+}");
}

fn plain(digits: &[u8], power: i32, out: &mut Vec<u8>) {
    let Ok(whole) = usize::try_from(power + 1) else {
        out.extend_from_slice(b"0.");
        out.extend((power + 1..0).map(|_| b'0'));
        return out.extend_from_slice(digits);
    };
    if whole == 0 {
        out.extend_from_slice(b"0.");
        return out.extend_from_slice(digits);
    }
    let (before, after) = digits.split_at(whole.min(digits.len()));
    out.extend_from_slice(before);
    out.extend((before.len()..whole).map(|_| b'0'));
    if !after.is_empty() {
        out.push(b'.');
        out.extend_from_slice(after);
    }
}

fn scientific(digits: &[u8], out: &mut Vec<u8>) {
    let (first, others) = digits.split_at(digits.len().min(1));
    out.extend_from_slice(first);
    if !others.is_empty() {
        out.push(b'.');
        out.extend_from_slice(others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(score: f64, short: &str, long: &str) {
        let text = |form| String::from_utf8(text_of(score, form)).expect("digits");
        assert_eq!((text(Form::Short).as_str(), text(Form::Long).as_str()), (short, long), "{score:e}");
    }

    /// The long ones by printf("%.17g"); the short ones by redis 7.2's rules.
    #[test]
    fn scores_are_written_as_redis_does() {
        check(0.1, "0.1", "0.10000000000000001");
        check(-2.5, "-2.5", "-2.5");
        check(-0.0, "-0", "-0");
        check(3.0, "3", "3");
        check(1e15, "1000000000000000", "1000000000000000");
        check(1e7 / 3.0, "3.3333333333333335e+6", "3333333.3333333335");
        check(1e17, "100000000000000000", "1e+17");
        check(1e16, "10000000000000000", "10000000000000000");
        check(123456789e10, "1234567890000000000", "1.23456789e+18");
        check(1e-7, "1e-7", "9.9999999999999995e-08");
        check(0.00001, "0.00001", "1.0000000000000001e-05");
        check(0.0001, "0.0001", "0.0001");
        check(5e18, "5e+18", "5e+18");
        check(123456789e11, "1.23456789e+19", "1.23456789e+19");
        check(1.5e300, "1.5e+300", "1.5000000000000001e+300");
        check(f64::INFINITY, "inf", "inf");
        check(f64::NEG_INFINITY, "-inf", "-inf");
        check(5e-324, "5e-324", "4.9406564584124654e-324");
    }

    #[test]
    fn what_a_server_writes_tells_its_form() {
        assert_eq!(Form::of(b"0.1", 0.1), Some(Form::Short));
        assert_eq!(Form::of(b"0.10000000000000001", 0.1), Some(Form::Long));
        assert_eq!(Form::of(b"2.5", 2.5), None);
        assert_eq!(Form::of(b"0.1000", 0.1), None);
    }

    #[test]
    fn what_has_no_place_among_doubles_is_no_number() {
        for text in ["", "x", "nan", "-nan", "1e999", "-1e999", "1e-999", " 1", "1 ", "0x10z"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for (text, number) in
            [("1", 1.0), ("-inf", f64::NEG_INFINITY), ("+Infinity", f64::INFINITY), ("0e9", 0.0)]
        {
            assert_eq!(parse(text.as_bytes()), Some(number), "{text}");
        }
    }
}
