//! What the fuzz target of `config` does with its bytes. `crates/config/tests/seeds.rs` does the same with the seeds.

use std::io;
use std::net::SocketAddr;

/// A file gives settings with pools, or mistakes that an operator can find.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config::load(text, &one_name) {
        Ok(settings) => assert!(!settings.pools.is_empty()),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.is_sorted_by_key(|mistake| mistake.line), "{mistakes:?}");
            for mistake in mistakes {
                // YAML's lines end with a lone CR too, and a mistake may be at the end.
                let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
                assert!((1..=lines).contains(&mistake.line), "{mistake} of {lines} lines");
                assert!(mistake.column >= 1 && !mistake.reason.is_empty(), "{mistake}");
            }
        }
    }
}

/// A resolver that asks nobody.
fn one_name(host: &str, port: u16) -> io::Result<SocketAddr> {
    match host {
        "localhost" => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    }
}
