//! The four FNV variants as twemproxy has them, over signed bytes.

use super::signed;

/// True FNV-1 in 64 bits, of which the low half is kept.
pub(super) fn fnv1_64(key: &[u8]) -> u32 {
    let h = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, &byte| h.wrapping_mul(0x100_0000_01b3) ^ byte as i8 as u64);
    h as u32
}

/// Not FNV-1a: twemproxy keeps the 64-bit constants in 32-bit variables. The small multiplier that is left
/// spreads badly into the high bits, hence the skew of the default pair with ketama.
pub(super) fn fnv1a_64(key: &[u8]) -> u32 {
    key.iter().fold(0x8422_2325, |h: u32, &byte| (h ^ signed(byte)).wrapping_mul(0x1b3))
}

pub(super) fn fnv1_32(key: &[u8]) -> u32 {
    key.iter().fold(START_32, |h, &byte| h.wrapping_mul(PRIME_32) ^ signed(byte))
}

pub(super) fn fnv1a_32(key: &[u8]) -> u32 {
    key.iter().fold(START_32, |h, &byte| (h ^ signed(byte)).wrapping_mul(PRIME_32))
}

const START_32: u32 = 2_166_136_261;
const PRIME_32: u32 = 16_777_619;
