//! How a command word becomes a place in the table: shared, as text, by the lookup and by the generator
//! that lays the table out (`xtask/src/gen.rs` includes this very file).
//!
//! A word is boiled down to its length and two numbers made of its first and last eight bytes, upper-cased.
//! Up to 16 bytes that is the whole word, so equal digests mean equal words and no text is compared.

/// The longest word worth looking up, in bytes; the longest of the table has 33.
pub(crate) const WORD_MAX: usize = 40;
/// First level: each bucket of words has a number that moves them to free slots.
pub(crate) const BUCKETS: usize = 256;
/// Second level: one slot per word, a power of two with room to spare.
pub(crate) const SLOTS: usize = 1024;

/// A word without regard to case; exact up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) len: u8,
}

/// Digests `word`, or nothing where it is empty or longer than any command.
#[inline]
pub(crate) fn digest(word: &[u8]) -> Option<Digest> {
    if word.is_empty() || word.len() > WORD_MAX {
        return None;
    }
    let len = word.len() as u8;
    if let (Some(head), Some(tail)) = (word.first_chunk::<8>(), word.last_chunk::<8>()) {
        let (lo, hi) = (upper(u64::from_le_bytes(*head)), upper(u64::from_le_bytes(*tail)));
        return Some(Digest { lo, hi, len });
    }
    let lo = if let (Some(head), Some(tail)) = (word.first_chunk::<4>(), word.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32
    } else {
        let at = |index: usize| word.get(index).map_or(0, |byte| u64::from(*byte));
        at(0) | at(word.len() / 2) << 8 | at(word.len() - 1) << 16
    };
    Some(Digest { lo: upper(lo), hi: 0, len })
}

/// The bucket of a word under `parent`, and the number its slot is made from. `parent` is 0 for a command and
/// the row of the container's first subcommand for a subcommand.
#[inline]
pub(crate) fn place(digest: &Digest, parent: u16) -> (usize, u32) {
    let mixed = digest.lo ^ digest.hi.rotate_left(29) ^ u64::from(parent) << 48 ^ u64::from(digest.len) << 40;
    let wide = u128::from(mixed) * 0x9e37_79b9_7f4a_7c15;
    let x = (wide >> 64) as u64 ^ wide as u64;
    ((x >> 56) as usize % BUCKETS, (x >> 24) as u32)
}

/// The slot of a word, moved by its bucket's number.
#[inline]
pub(crate) fn slot(base: u32, by: u16) -> usize {
    (base.wrapping_mul(u32::from(by) | 1) >> 16) as usize % SLOTS
}

/// Upper-cases the ASCII letters among eight bytes at once.
#[inline]
fn upper(x: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = x & (0x7f * ONES);
    let from_a = low + (0x80 - b'a' as u64) * ONES;
    let past_z = low + (0x7f - b'z' as u64) * ONES;
    let letters = (from_a ^ past_z) & !x & (0x80 * ONES);
    x ^ (letters >> 2)
}
