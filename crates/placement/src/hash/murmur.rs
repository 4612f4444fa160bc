//! MurmurHash2, seeded with a multiple of the key's length.

pub(super) fn hash(key: &[u8]) -> u32 {
    let length = key.len() as u32;
    let mut h = 0xdead_beef_u32.wrapping_mul(length) ^ length;
    let (blocks, tail) = key.as_chunks::<4>();
    for &block in blocks {
        let mut k = u32::from_le_bytes(block).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, &byte| (rest << 8) | u32::from(byte));
        h = (h ^ rest).wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

const M: u32 = 0x5bd1_e995;
