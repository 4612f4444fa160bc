//! Rendezvous, or highest random weight (Thaler and Ravishankar, 1996): every server draws a number for the
//! key, and the best one has it. No server's coming or going moves a key between two others.
//!
//! With weights the numbers are -ln(u)/weight for u evenly drawn from 0 to 1, and the least one wins, which
//! it does in proportion to the weight. The logarithm is made of operations that IEEE 754 rounds exactly,
//! so every machine places alike; a C library's may differ in the last bit.

use std::f64::consts::{LN_2, SQRT_2};

use crate::mix::{mix, name_bits, spread};
use crate::ring::{self, Seat};

#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    /// The live servers, in name order.
    entrants: Box<[Entrant]>,
    /// Whether all weights are equal: then the greatest draw wins, without a logarithm.
    equal: bool,
}

#[derive(Clone, Debug)]
struct Entrant {
    index: u32,
    /// Makes its draws its own.
    seed: u64,
    /// One over the weight.
    lightness: f64,
}

impl Rendezvous {
    pub(crate) fn new(seats: &[Seat<'_>]) -> Rendezvous {
        let entrant = |seat: &Seat<'_>| Entrant {
            index: seat.index,
            seed: name_bits(seat.name, 0),
            lightness: 1.0 / f64::from(seat.weight),
        };
        let entrants: Box<[_]> = ring::live(seats).map(entrant).collect();
        let equal = entrants.windows(2).all(|two| two[0].lightness == two[1].lightness);
        Rendezvous { entrants, equal }
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: u32) -> Option<u32> {
        let key = spread(hash, 0);
        if self.equal { self.greatest_draw(key) } else { self.least_score(key) }
    }

    fn greatest_draw(&self, key: u64) -> Option<u32> {
        let (first, others) = self.entrants.split_first()?;
        let mut best = (first.draw(key), first.index);
        for entrant in others {
            let draw = entrant.draw(key);
            if draw > best.0 {
                best = (draw, entrant.index);
            }
        }
        Some(best.1)
    }

    fn least_score(&self, key: u64) -> Option<u32> {
        let (mut best_score, mut best_draw, mut best) = (f64::INFINITY, 0, None);
        for entrant in &self.entrants {
            let draw = entrant.draw(key);
            let u = fraction(draw);
            // -ln(u) is at least 1 - u, which tells most losers without the logarithm.
            if (1.0 - u) * entrant.lightness > best_score {
                continue;
            }
            let score = -ln(u) * entrant.lightness;
            // Equal scores fall to the greater draw, as they do among equal weights.
            if score < best_score || (score == best_score && draw > best_draw) {
                (best_score, best_draw, best) = (score, draw, Some(entrant.index));
            }
        }
        best
    }
}

impl Entrant {
    #[inline]
    fn draw(&self, key: u64) -> u64 {
        mix(self.seed ^ key)
    }
}

/// The upper 40 bits of a draw as a number between 0 and 1, both excluded. Neighbours are far enough apart
/// for [`ln`] never to take one for the other.
fn fraction(draw: u64) -> f64 {
    ((draw >> 24) as f64 + 0.5) / (1u64 << 40) as f64
}

/// The natural logarithm of a positive normal number, to about 15 digits.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits((bits & MANTISSA) | ONE); // 1 to 2
    if m > SQRT_2 {
        m /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh s, with s below 0.172 in size: ten terms reach the last digit.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..10).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    f64::from(exponent) * LN_2 + 2.0 * s * series
}

const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;

#[cfg(test)]
mod tests {
    use super::{fraction, ln};

    #[test]
    fn ln_agrees_with_the_c_library() {
        for i in 0..64 {
            for x in [fraction(!0 << i), fraction(1 << i), fraction(0x5555_5555_5555_5555 << i)] {
                assert!((ln(x) - x.ln()).abs() <= x.ln().abs() * 1e-14, "{x}: {} and {}", ln(x), x.ln());
            }
        }
    }

    #[test]
    fn ln_orders_neighbours() {
        for i in 0..1_000_000u64 {
            let draw = crate::mix::mix(i) | 0xff_ffff;
            if let Some(next) = draw.checked_add(1) {
                assert!(ln(fraction(draw)) < ln(fraction(next)), "{draw:#x}");
            }
        }
    }
}
