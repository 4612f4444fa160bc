//! What is stored and asked for: keys, their values, and the generator that draws keys. All of it follows from
//! the key's number alone, so that any reply can be checked without keeping a copy of the store.

/// Length of every key: `key:` and nine digits.
pub(crate) const KEY_BYTES: usize = 13;

/// SplitMix64 (Steele, Lea, Flood 2014): small, quick, and good enough to draw keys.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The same seed gives the same sequence.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, by multiplication instead of division.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let high = self.next() >> 32;
        ((high * u64::from(bound)) >> 32) as u32
    }
}

/// The keys `key:000000001` up to `keys`, and the value of each.
#[derive(Debug)]
pub(crate) struct Data {
    /// How many keys there are; they are numbered from 1.
    pub(crate) keys: u32,
    /// Bytes of every value.
    pub(crate) value_bytes: usize,
    /// `value_bytes` in decimal, as both protocols write it.
    pub(crate) length: String,
    /// Random printable text; a key's value is the window that starts at its number.
    text: Vec<u8>,
}

impl Data {
    /// Prepares values of `value_bytes` for `keys` keys.
    pub(crate) fn new(keys: u32, value_bytes: usize) -> Self {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
        let mut rng = Rng::new(1);
        let text = (0..=keys as usize + value_bytes).map(|_| LETTERS[rng.below(64) as usize]).collect();
        Self { keys, value_bytes, length: value_bytes.to_string(), text }
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: u32) -> &[u8] {
        &self.text[key as usize..key as usize + self.value_bytes]
    }

    /// Draws a key.
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        1 + rng.below(self.keys)
    }
}

/// The name of a key.
pub(crate) fn key_name(key: u32) -> [u8; KEY_BYTES] {
    let mut name = *b"key:000000000";
    let mut rest = key;
    for digit in name[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn splitmix_matches_its_reference() {
        // First outputs of the reference implementation for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn keys_are_drawn_evenly() {
        let data = Data::new(100, 8);
        let mut rng = Rng::new(7);
        let mut count = [0u32; 101];
        for _ in 0..100_000 {
            count[data.draw(&mut rng) as usize] += 1;
        }
        assert_eq!(count[0], 0);
        assert!(count[1..].iter().all(|&n| (800..1_200).contains(&n)), "{count:?}");
    }

    #[test]
    fn names() {
        assert_eq!(&key_name(1), b"key:000000001");
        assert_eq!(&key_name(987_654_321), b"key:987654321");
    }

    #[test]
    fn no_two_keys_share_a_value() {
        let data = Data::new(10_000, 64);
        let values: HashSet<&[u8]> = (1..=data.keys).map(|key| &data.value(key)[..16]).collect();
        assert_eq!(values.len(), 10_000);
        assert!((1..=data.keys).all(|key| data.value(key).len() == 64));
    }
}
