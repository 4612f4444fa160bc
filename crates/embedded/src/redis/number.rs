//! Numbers as redis reads and writes them.

/// A 64-bit integer in its only spelling: no sign but a minus, no leading zeros, no spaces (`string2ll`).
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// A number, infinities included, but not NaN.
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    let n: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!n.is_nan()).then_some(n)
}

/// The shortest text that reads back as the same number, in redis' spelling.
pub(crate) fn float_text(n: f64) -> String {
    if n.is_infinite() {
        return if n > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if n == 0.0 || (1e-5..1e21).contains(&n.abs()) {
        return format!("{n}");
    }
    // Rust writes 1e22 where C writes 1e+22.
    let text = format!("{n:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

/// As INCRBYFLOAT writes its result: never with an exponent.
pub(crate) fn plain_text(n: f64) -> String {
    // 15 digits are what a 64-bit float holds for sure; more would show 0.1 + 0.2 as 0.30000000000000004,
    // which redis with its longer floats does not.
    let rounded: f64 = format!("{n:.14e}").parse().unwrap_or(n);
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for text in ["0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(integer(text.as_bytes()).map(|n| n.to_string()).as_deref(), Some(text));
        }
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808", "a", "1a"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats_read_and_written() {
        let rows = [
            ("1", "1"),
            ("1.50", "1.5"),
            ("-0.1", "-0.1"),
            ("3e3", "3000"),
            ("inf", "inf"),
            ("-inf", "-inf"),
            ("1e22", "1e+22"),
            ("1e-7", "1e-7"),
            (".5", "0.5"),
            ("123456789012345680", "123456789012345680"),
        ];
        for (text, written) in rows {
            assert_eq!(float(text.as_bytes()).map(float_text).as_deref(), Some(written), "{text}");
        }
        for text in ["", "nan", "x", "1 ", " 1", "1e"] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn sums_look_as_people_expect() {
        for (n, text) in
            [(0.1 + 0.2, "0.3"), (10.5 + 0.1, "10.6"), (5200.0, "5200"), (-1e-7, "-0.0000001"), (-0.0, "0")]
        {
            assert_eq!(plain_text(n), text);
        }
    }
}
