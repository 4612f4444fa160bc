//! Bob Jenkins' one-at-a-time, over signed bytes.

use super::signed;

pub(super) fn hash(key: &[u8]) -> u32 {
    let mut v = 0u32;
    for &byte in key {
        v = v.wrapping_add(signed(byte));
        v = v.wrapping_add(v << 10);
        v ^= v >> 6;
    }
    v = v.wrapping_add(v << 3);
    v ^= v >> 11;
    v.wrapping_add(v << 15)
}
