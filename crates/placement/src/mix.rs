//! Bits for the distributions that are not twemproxy's. A key's hash may be poor (`crc32` has 15 bits), and
//! mixing it first makes even that one spread evenly.

/// SplitMix64's step (Steele, Lea and Flood, 2014): one to one, every bit depending on every bit.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// 64 bits for a hash, others for each further attempt to place it.
pub(crate) const fn spread(hash: u32, attempt: u32) -> u64 {
    mix(((attempt as u64) << 32) | hash as u64)
}

/// A number below `bound` from the upper half of well-mixed bits.
pub(crate) const fn below(bound: u32, bits: u64) -> u32 {
    (((bits >> 32) * bound as u64) >> 32) as u32
}

/// 64 bits for a server's name, others for each `purpose`.
pub(crate) fn name_bits(name: &[u8], purpose: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(name, purpose)
}

/// How often a key whose server is dead is placed anew among all servers before it is placed among the live
/// ones alone. As long as an attempt succeeds, another ejection moves no key but the ejected server's own.
/// With half of the weight dead, all attempts fail for one key in 2^32.
pub(crate) const ATTEMPTS: u32 = 32;
