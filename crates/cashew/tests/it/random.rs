//! Chance from a seed, so that a failure can be had again.

use std::ops::Range;

/// Numbers from a seed (xorshift).
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        // Spread the bits of small seeds; the state must not be 0.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number of the range.
    pub(crate) fn within(&mut self, range: Range<usize>) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + (self.0 >> 11) as usize % (range.end - range.start)
    }

    /// Cuts `bytes` into pieces: mostly short ones, sometimes long ones.
    pub(crate) fn pieces<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let most = [3, 20, 100, 2000][self.within(0..4)];
            let (piece, rest) = bytes.split_at(self.within(1..most + 1).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

#[test]
fn pieces_make_up_the_whole_and_a_seed_repeats_itself() {
    let bytes: Vec<u8> = (0..5000).map(|n| n as u8).collect();
    let pieces = Random::new(7).pieces(&bytes);
    assert_eq!(pieces.concat(), bytes);
    assert!(pieces.len() > 5 && pieces == Random::new(7).pieces(&bytes));
    assert!(pieces != Random::new(8).pieces(&bytes));
}
