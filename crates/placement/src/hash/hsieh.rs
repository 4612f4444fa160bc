//! Paul Hsieh's SuperFastHash. It starts from 0 instead of the length, and only a third leftover byte is
//! taken as signed.

use super::signed;

pub(super) fn hash(key: &[u8]) -> u32 {
    let (blocks, tail) = key.as_chunks::<4>();
    let mut h = 0u32;
    for &[a, b, c, d] in blocks {
        h = h.wrapping_add(pair(a, b));
        h = (h << 16) ^ (pair(c, d) << 11) ^ h;
        h = h.wrapping_add(h >> 11);
    }
    match *tail {
        [a, b, c] => {
            h = h.wrapping_add(pair(a, b));
            h ^= h << 16;
            h ^= signed(c) << 18;
            h = h.wrapping_add(h >> 11);
        }
        [a, b] => {
            h = h.wrapping_add(pair(a, b));
            h ^= h << 11;
            h = h.wrapping_add(h >> 17);
        }
        [a] => {
            h = h.wrapping_add(u32::from(a));
            h ^= h << 10;
            h = h.wrapping_add(h >> 1);
        }
        _ => {}
    }
    h ^= h << 3;
    h = h.wrapping_add(h >> 5);
    h ^= h << 4;
    h = h.wrapping_add(h >> 17);
    h ^= h << 25;
    h.wrapping_add(h >> 6)
}

fn pair(low: u8, high: u8) -> u32 {
    u32::from(u16::from_le_bytes([low, high]))
}
