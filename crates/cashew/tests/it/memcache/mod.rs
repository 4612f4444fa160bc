//! Memcached: every answer of a pool over real servers is what one server would say, byte for byte.

mod parity;
mod pool;
mod rows;

/// The rows that both sides answer alike and without unique numbers.
pub(crate) fn repeatable_rows() -> Vec<&'static [u8]> {
    let unique =
        |row: &[u8]| row.windows(4).any(|part| part == b"gets" || part == b"gats" || part == b"@cas");
    rows::ALIKE.iter().copied().filter(|row| !unique(row)).collect()
}

/// The rows that the proxy answers by itself, one after another, and what it answers.
pub(crate) fn own_rows() -> (Vec<u8>, Vec<u8>) {
    let bytes = rows::UNLIKE.iter().flat_map(|(row, ..)| row.iter().copied()).collect();
    let replies = rows::UNLIKE.iter().flat_map(|(_, reply, _)| reply.iter().copied()).collect();
    (bytes, replies)
}
