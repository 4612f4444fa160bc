//! One value of 512 MB, stored and fetched by one client, verified to the last byte.

use crate::data::Data;
use crate::memory::neighbour::Neighbour;
use crate::memory::situation::Play;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// SET, then GET, with a neighbour beside them.
///
/// # Errors
/// When a connection fails or a reply is wrong.
pub(crate) fn value(play: &mut Play<'_>) -> Result<()> {
    let neighbour = Neighbour::start(play.target)?;
    let passed = pass(play);
    // One that found the proxy dead has nothing to add.
    play.row.neighbour = Some(neighbour.end());
    let (set, get) = passed?;
    play.row.remarks.push(format!("SET took {:.1} s, GET {:.1} s", set.as_secs_f64(), get.as_secs_f64()));
    Ok(())
}

fn pass(play: &Play<'_>) -> Result<(Duration, Duration)> {
    // Its length is prime: bytes that were lost or doubled shift all that follows.
    let pattern = Data::new(1, PATTERN_BYTES);
    let pattern = pattern.value(1);
    let mut socket = TcpStream::connect(play.target)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let start = std::time::Instant::now();
    socket.write_all(format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${VALUE_BYTES}\r\n").as_bytes())?;
    let mut left = VALUE_BYTES;
    while left > 0 {
        let piece = &pattern[..left.min(pattern.len())];
        socket.write_all(piece).with_context(|| format!("SET, {left} bytes before its end"))?;
        left -= piece.len();
        ensure!(!play.stop.load(Ordering::Relaxed), "stopped");
    }
    socket.write_all(b"\r\n")?;
    expect(&mut socket, "+OK\r\n").context("SET")?;
    let set = start.elapsed();
    socket.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n")?;
    expect(&mut socket, &format!("${VALUE_BYTES}\r\n")).context("GET")?;
    verify(&mut socket, pattern, VALUE_BYTES, play.stop).context("GET")?;
    expect(&mut socket, "\r\n").context("GET")?;
    Ok((set, start.elapsed() - set))
}

/// Reads exactly this.
fn expect(socket: &mut impl std::io::Read, text: &str) -> Result<()> {
    let mut got = vec![0; text.len()];
    socket.read_exact(&mut got).context("no reply")?;
    ensure!(
        got == text.as_bytes(),
        "got '{}' instead of '{text}'",
        String::from_utf8_lossy(&got).escape_debug()
    );
    Ok(())
}

/// Reads `length` bytes that repeat `pattern`.
fn verify(from: &mut impl std::io::Read, pattern: &[u8], length: usize, stop: &AtomicBool) -> Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < length {
        let room = (length - at).min(buffer.len()).min(pattern.len() - at % pattern.len());
        let count =
            from.read(&mut buffer[..room]).with_context(|| format!("after {at} bytes of the value"))?;
        ensure!(count > 0, "the connection was closed after {at} bytes of the value");
        if buffer[..count] != pattern[at % pattern.len()..][..count] {
            bail!("the value is wrong between its bytes {at} and {}", at + count);
        }
        at += count;
        ensure!(!stop.load(Ordering::Relaxed), "stopped");
    }
    Ok(())
}

/// The longest value that redis takes.
const VALUE_BYTES: usize = 512 << 20;
/// A prime near a million.
const PATTERN_BYTES: usize = 1_000_003;
const PIECE_BYTES: usize = 256 << 10;
/// Nothing moving for so long is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_lost_or_wrong_is_seen() {
        let pattern = b"0123456";
        let never = AtomicBool::new(false);
        let check = |bytes: &[u8]| verify(&mut &*bytes, pattern, 20, &never);
        check(b"01234560123456012345").unwrap();
        assert!(
            check(b"01234560123456012346").unwrap_err().to_string().contains("wrong between its bytes 14")
        );
        assert!(check(b"0123450123456012345").unwrap_err().to_string().contains("wrong"));
        assert!(check(b"0123456").unwrap_err().to_string().contains("closed after 7"));
        assert!(expect(&mut &b"-ERR\r"[..], "+OK\r\n").unwrap_err().to_string().contains("-ERR"));
    }
}
