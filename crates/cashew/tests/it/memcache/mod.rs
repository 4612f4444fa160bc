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
