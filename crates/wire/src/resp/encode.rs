//! Writing RESP: requests of our own, and replies the proxy answers or builds from others.
//!
//! Everything appends to a `Vec<u8>` and allocates nothing else.

/// `+OK`; line ends inside `text` are blanked.
pub fn simple(text: &[u8], out: &mut Vec<u8>) {
    line(b'+', text, out);
}

/// `-ERR reason`; `text` begins with the error's code, line ends inside it are blanked, as redis does.
pub fn error(text: &[u8], out: &mut Vec<u8>) {
    line(b'-', text, out);
}

/// `:42`.
pub fn integer(value: i64, out: &mut Vec<u8>) {
    out.push(b':');
    if value < 0 {
        out.push(b'-');
    }
    decimal(value.unsigned_abs(), out);
    out.extend_from_slice(b"\r\n");
}

/// `$5` and the bytes.
#[inline]
pub fn bulk(value: &[u8], out: &mut Vec<u8>) {
    header(b'$', value.len(), out);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// No value: `_` in RESP3, the null bulk string in RESP2.
pub fn null(resp3: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if resp3 { b"_\r\n" } else { b"$-1\r\n" });
}

/// No array, as EXEC and BLPOP answer: `_` in RESP3, the null array in RESP2.
pub fn null_array(resp3: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if resp3 { b"_\r\n" } else { b"*-1\r\n" });
}

/// `*n`; `n` elements follow.
#[inline]
pub fn array_header(n: usize, out: &mut Vec<u8>) {
    header(b'*', n, out);
}

/// `%n`, or in RESP2 an array of twice as many; `n` pairs follow.
pub fn map_header(n: usize, resp3: bool, out: &mut Vec<u8>) {
    if resp3 { header(b'%', n, out) } else { header(b'*', n.saturating_mul(2), out) }
}

/// `~n`, or an array in RESP2; `n` elements follow.
pub fn set_header(n: usize, resp3: bool, out: &mut Vec<u8>) {
    header(if resp3 { b'~' } else { b'*' }, n, out);
}

/// `>n`, or an array in RESP2; `n` elements follow.
pub fn push_header(n: usize, resp3: bool, out: &mut Vec<u8>) {
    header(if resp3 { b'>' } else { b'*' }, n, out);
}

/// A request: the array of its arguments, the command word first.
pub fn request<'a, I>(parts: I, out: &mut Vec<u8>)
where
    I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
{
    let parts = parts.into_iter();
    array_header(parts.len(), out);
    for part in parts {
        bulk(part, out);
    }
}

/// Appends `value` in decimal.
#[inline]
pub fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[digits.len() - used..]);
}

#[inline]
fn header(kind: u8, n: usize, out: &mut Vec<u8>) {
    out.push(kind);
    decimal(n as u64, out);
    out.extend_from_slice(b"\r\n");
}

fn line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}
