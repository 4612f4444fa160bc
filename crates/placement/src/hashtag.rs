//! The part of a key that counts: `hash_tag: "{}"` keeps `user:{7}:name` and `user:{7}:age` together.

/// A pool's two-byte `hash_tag:`. The bytes may be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashTag {
    open: u8,
    close: u8,
}

impl HashTag {
    /// The tag that opens with the first byte and closes with the second.
    pub const fn new([open, close]: [u8; 2]) -> HashTag {
        HashTag { open, close }
    }

    /// What lies between the first opening byte and the first closing byte after it, or the whole key
    /// where either is missing or nothing lies between. Later opening bytes are not tried: `{}{a}` counts
    /// whole. Never empty unless the key is.
    #[inline]
    pub fn part<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.between(key).unwrap_or(key)
    }

    fn between<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let open = key.iter().position(|&byte| byte == self.open)?;
        let after = key.get(open + 1..)?;
        let close = after.iter().position(|&byte| byte == self.close)?;
        after.get(..close).filter(|part| !part.is_empty())
    }
}
