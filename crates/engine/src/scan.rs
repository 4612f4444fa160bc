//! The cursors of SCAN over several servers: a place on the way through them, as one number.
//!
//! ```text
//!   bits 63..16: server's cursor * servers + server      bits 15..0: the run of the server in which it was made
//! ```
//! Nothing is remembered: a cursor is good on every worker, as often as it is asked, as long as the pool has the same
//! servers. A redis that is started anew hashes its keys another way, so that a cursor of an earlier run would pass over
//! some of them; then its keys are walked through once more from the first one.

use wire::resp::reply as resp;

/// A place on the way through a pool's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the server.
    pub(crate) server: u32,
    /// Its own cursor, 0 where its keys begin.
    pub(crate) cursor: u64,
    /// In which run of it that was made; any where its keys begin.
    pub(crate) run: u16,
}

impl Place {
    /// The place that a client's number stands for; every number stands for one.
    pub(crate) fn of(number: u64, servers: u32) -> Place {
        let (both, servers) = (number >> RUN_BITS, u64::from(servers.max(1)));
        Place { server: (both % servers) as u32, cursor: both / servers, run: number as u16 }
    }

    /// Where the keys of a server begin.
    pub(crate) fn begin(server: u32) -> Place {
        // On the first server it must not read as the end.
        Place { server, cursor: 0, run: 1 }
    }

    /// The number that stands for it; nothing where the server's cursor is too large. Redis' own are smaller than the
    /// tables that they walk through.
    pub(crate) fn number(self, servers: u32) -> Option<u64> {
        let both = self.cursor.checked_mul(u64::from(servers))?.checked_add(u64::from(self.server))?;
        (both >> (64 - RUN_BITS) == 0).then_some(both << RUN_BITS | u64::from(self.run))
    }

    /// Where to go on after a page of this place's server which ends at `cursor`, in its `run`; nothing at the very end.
    /// `begun`: the page went on from an earlier one, made in this place's run.
    pub(crate) fn after(self, begun: bool, cursor: u64, run: u16, servers: u32) -> Option<Place> {
        if begun && run != self.run {
            return Some(Place::begin(self.server));
        }
        if cursor != 0 {
            return Some(Place { cursor, run, ..self });
        }
        let next = self.server + 1;
        (next < servers).then(|| Place::begin(next))
    }
}

/// Which run of a server an INFO reply tells of, as a number that is not 0; 0 where it tells nothing.
pub(crate) fn run_of(reply: &[u8]) -> u16 {
    let Some(line) = reply.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"run_id:")) else {
        return 0;
    };
    let id = line.strip_suffix(b"\r").unwrap_or(line);
    // A run's id is random as it is: any part of it will do.
    let mixed = id.iter().fold(0u32, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    (mixed % u32::from(u16::MAX)) as u16 + 1
}

/// A cursor as clients and servers write it: decimal digits, below 2^64.
pub(crate) fn cursor(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A page as a server answers it: its cursor, and the bytes of the elements.
pub(crate) fn page(reply: &[u8]) -> Option<(u64, &[u8])> {
    let (count, mut parts) = resp::elements(reply)?;
    if count != 2 {
        return None;
    }
    let first = parts.next()?;
    Some((cursor(resp::bulk(first)?)?, parts.rest()))
}

const RUN_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_and_back() {
        for servers in [1, 2, 3, 4, 100, 5000] {
            for cursor in [0, 1, 2, 1023, 1 << 20, (1 << 34) - 1] {
                for server in [0, servers / 2, servers - 1] {
                    for run in [0, 1, 77, u16::MAX] {
                        let place = Place { server, cursor, run };
                        let number = place.number(servers).expect("small enough");
                        assert_eq!(Place::of(number, servers), place);
                        assert!(number != 0 || (cursor, server, run) == (0, 0, 0));
                    }
                }
            }
        }
    }

    #[test]
    fn a_cursor_that_does_not_fit_is_no_number() {
        let place = |cursor, server| Place { server, cursor, run: 1 };
        assert_eq!(place((1 << 46) - 1, 3).number(4), Some(((1 << 48) - 1) << 16 | 1));
        assert_eq!(place(1 << 46, 0).number(4), None);
        assert_eq!(place(u64::MAX, 0).number(4), None);
    }

    #[test]
    fn what_follows_a_page() {
        let here = Place { server: 1, cursor: 8, run: 5 };
        let check = |begun, cursor, run, expected| {
            assert_eq!(here.after(begun, cursor, run, 3), expected, "{begun} {cursor} {run}");
        };
        check(true, 4, 5, Some(Place { cursor: 4, ..here }));
        check(true, 0, 5, Some(Place::begin(2)));
        // Another run: its keys once more.
        check(true, 4, 6, Some(Place::begin(1)));
        check(true, 0, 6, Some(Place::begin(1)));
        check(false, 4, 6, Some(Place { cursor: 4, run: 6, ..here }));
        check(false, 0, 6, Some(Place::begin(2)));
        assert_eq!(Place { server: 2, ..here }.after(true, 0, 5, 3), None);
        assert_ne!(Place::begin(0).number(3), Some(0), "that would be the end");
    }

    #[test]
    fn runs_are_told_apart() {
        let info = |id: &str| run_of(format!("$0\r\n# Server\r\nrun_id:{id}\r\nos:x\r\n\r\n").as_bytes());
        let (a, b) = (info("f95bb8a7bd55a2a2a26b91f8d0c8e5a3"), info("f95bb8a7bd55a2a2a26b91f8d0c8e5a4"));
        assert!(a != b && a != 0 && b != 0);
        assert_eq!(run_of(b"-NOPERM no\r\n"), 0);
        assert_eq!(run_of(b"$0\r\n\r\n"), 0);
    }

    #[test]
    fn cursors_and_pages() {
        assert_eq!(cursor(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", " 1", "1 ", "18446744073709551616", "x", "0x1"] {
            assert_eq!(cursor(text.as_bytes()), None, "{text}");
        }
        assert_eq!(page(b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n"), Some((17, b"*1\r\n$1\r\na\r\n".as_slice())));
        for reply in
            ["*2\r\n:1\r\n*0\r\n", "*1\r\n$1\r\n1\r\n", "+OK\r\n", "*-1\r\n", "*2\r\n$1\r\nx\r\n*0\r\n"]
        {
            assert_eq!(page(reply.as_bytes()), None, "{reply}");
        }
    }
}
