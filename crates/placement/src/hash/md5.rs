//! The first four bytes of MD5, little-endian. The whole digest also gives ketama its points.

use md5::{Digest, Md5};

pub(super) fn hash(key: &[u8]) -> u32 {
    let [a, b, c, d, ..] = digest(key);
    u32::from_le_bytes([a, b, c, d])
}

pub(crate) fn digest(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}
