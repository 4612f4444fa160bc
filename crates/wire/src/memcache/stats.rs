//! Replies to `stats`: lines `STAT name value` and then `END`.

/// Whether the reply is an error, which for a proxy means that its request was not served.
pub fn is_error(reply: &[u8]) -> bool {
    reply.starts_with(b"SERVER_ERROR") || reply.starts_with(b"CLIENT_ERROR") || reply.starts_with(b"ERROR")
}

/// The names and values of a reply to `stats`. Ends where anything else begins.
pub fn stats(reply: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = reply.split(|&byte| byte == b'\n');
    lines.map_while(|line| {
        let line = line.strip_prefix(b"STAT ")?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let space = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        Some((&line[..space], line.get(space + 1..).unwrap_or(&[])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_space() {
        let reply = b"STAT pid 7\r\nSTAT version 1.6.18 x\r\nSTAT empty\r\nEND\r\n";
        let found: Vec<_> = stats(reply).collect();
        let wanted: [(&[u8], &[u8]); 3] = [(b"pid", b"7"), (b"version", b"1.6.18 x"), (b"empty", b"")];
        assert_eq!(found, wanted);
        assert_eq!(stats(b"ERROR\r\n").count(), 0);
    }

    #[test]
    fn errors_are_told_by_their_first_word() {
        assert!(is_error(b"SERVER_ERROR out of memory\r\n"));
        assert!(is_error(b"ERROR\r\n"));
        assert!(!is_error(b"END\r\n"));
        assert!(!is_error(b"VALUE ERROR 0 1\r\nx\r\nEND\r\n"));
    }
}
