//! The line that a monitor reads for a request, as redis writes it:
//! `+1795390019.139993 [0 127.0.0.1:50112] "SET" "key" "value\n"`.
//!
//! What is very long is cut as redis' slow log cuts it.

use crate::limits::{MONITOR_ARG_BYTES, MONITOR_LINE_BYTES};
use std::io::Write;
use wire::args::ArgView;

/// Who asked, when, and in which database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Microseconds since the epoch.
    pub(super) unix_us: u64,
    pub(super) database: u32,
    /// Where the client is; none on a unix socket.
    pub(super) peer: stats::Peer,
}

/// Appends a line. `count`: so many arguments the request has in all; `secret` says which of them are not shown.
pub(super) fn write(
    origin: Origin,
    args: ArgView<'_>,
    count: usize,
    secret: impl Fn(usize) -> bool,
    out: &mut Vec<u8>,
) {
    let (seconds, micros) = (origin.unix_us / 1_000_000, origin.unix_us % 1_000_000);
    let address = crate::route::address(origin.peer);
    let begin = out.len();
    // Writing to memory cannot fail.
    _ = write!(out, "+{seconds}.{micros:06} [{} {address}]", origin.database);
    let mut shown = 0;
    for (index, arg) in args.iter().enumerate() {
        if out.len() - begin > MONITOR_LINE_BYTES {
            break;
        }
        out.extend_from_slice(b" ");
        match secret(index) {
            true => out.extend_from_slice(b"\"(redacted)\""),
            false => write_argument(arg, out),
        }
        shown += 1;
    }
    if shown < count {
        _ = write!(out, " \"... ({} more arguments)\"", count - shown);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_argument(arg: &[u8], out: &mut Vec<u8>) {
    let shown = &arg[..arg.len().min(MONITOR_ARG_BYTES)];
    out.push(b'"');
    for byte in shown {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    if shown.len() < arg.len() {
        _ = write!(out, "... ({} more bytes)", arg.len() - shown.len());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::args::Args;

    fn line(words: &[&[u8]], count: usize) -> String {
        let (mut args, mut bytes, mut out) = (Args::default(), Vec::new(), Vec::new());
        for word in words {
            args.push(bytes.len(), bytes.len() + word.len());
            bytes.extend_from_slice(word);
        }
        let origin = Origin { unix_us: 1_795_390_019_000_042, database: 3, peer: "127.0.0.1:5".parse().ok() };
        write(origin, args.view(&bytes), count, |_| false, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_are_escaped_as_redis_escapes_them() {
        assert_eq!(
            line(&[b"gEt", b"a\n\r\t\x07\x08\"\\\x01\xff ~\x7f", b""], 3),
            "+1795390019.000042 [3 127.0.0.1:5] \"gEt\" \"a\\n\\r\\t\\a\\b\\\"\\\\\\x01\\xff ~\\x7f\" \"\"\r\n"
        );
    }

    #[test]
    fn what_is_very_long_is_cut() {
        let long = vec![b'v'; MONITOR_ARG_BYTES + 7];
        let text = line(&[b"SET", b"k", &long], 3);
        assert!(text.ends_with("vvv... (7 more bytes)\"\r\n"), "{}", &text[text.len() - 40..]);
        let many = vec![long.as_slice(); 100];
        let text = line(&many, 100);
        assert!(text.len() < MONITOR_LINE_BYTES + 5 * MONITOR_ARG_BYTES, "{}", text.len());
        assert!(text.ends_with(" more arguments)\"\r\n"), "{}", &text[text.len() - 40..]);
        assert!(line(&[b"SET", b"k"], 5).ends_with("\"SET\" \"k\" \"... (3 more arguments)\"\r\n"));
    }
}
