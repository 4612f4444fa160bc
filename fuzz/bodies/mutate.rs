//! Random changes of seeds, for tests that are to find what the fuzzer would where there is none.

/// A source of chance (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn cut<'s>(&mut self, bytes: &'s [u8]) -> &'s [u8] {
        let start = self.below(bytes.len() + 1);
        let end = start + self.below(bytes.len() - start + 1);
        &bytes[start..end]
    }

    /// Parts of seeds one after another, changed here and there; `words` are put in now and then.
    pub(crate) fn change(&mut self, seeds: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..1 + self.below(6) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => {
                    let other = &seeds[self.below(seeds.len())];
                    let part = self.cut(other).to_vec();
                    bytes.splice(at..at, part);
                }
                1 => {
                    let part = self.cut(&bytes).to_vec();
                    bytes.splice(at..at, part);
                }
                2 => bytes.truncate(at),
                3 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                4 if at < bytes.len() => _ = bytes.remove(at),
                _ => {
                    let word = words[self.below(words.len())];
                    bytes.splice(at..at, word.iter().copied());
                }
            }
        }
        bytes.truncate(2_000);
        bytes
    }
}
