//! CRC-32 as in zlib (`crc32a`), and the 15 bits of it that libmemcached calls `crc32`.

pub(super) fn hash(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

pub(super) fn hash_15_bits(key: &[u8]) -> u32 {
    (hash(key) >> 16) & 0x7fff
}
