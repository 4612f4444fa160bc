//! LCS: the longest common subsequence of two strings, by redis' table and its way back through it, so that of several that are
//! equally long the same one comes out.

use super::string;
use crate::limits::LCS_CELLS;
use wire::resp::encode;

pub(super) const WRONG_TYPE: &[u8] = b"ERR The specified keys must contain string values";

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// LEN: its length alone.
    pub(super) length: bool,
    /// IDX: where its pieces are.
    pub(super) ranges: bool,
    /// MINMATCHLEN: no shorter pieces.
    pub(super) least: u64,
    /// WITHMATCHLEN: the length of each piece.
    pub(super) with_lengths: bool,
}

/// A piece that both strings have: its first bytes in each, and how long it is.
type Piece = (usize, usize, usize);

impl Wanted {
    pub(super) fn write(&self, replies: &[&[u8]], resp3: bool, out: &mut Vec<u8>) -> Option<()> {
        let [a, b] = replies else { return None };
        let (a, b) = (string(a)?.unwrap_or(&[]), string(b)?.unwrap_or(&[]));
        if a.len().checked_mul(b.len()).is_none_or(|cells| cells > LCS_CELLS) {
            let text = format!(
                "ERR LCS of keys on several servers takes strings whose lengths multiplied are at most {LCS_CELLS}"
            );
            encode::error(text.as_bytes(), out);
            return Some(());
        }
        let table = Table::new(a, b);
        let length = usize::from(table.at(a.len(), b.len()));
        if self.length {
            encode::integer(length as i64, out);
            return Some(());
        }
        let (common, pieces) = table.walk_back(a, b);
        if !self.ranges {
            encode::bulk(&common, out);
            return Some(());
        }
        let pieces: Vec<Piece> =
            pieces.into_iter().filter(|(_, _, length)| *length as u64 >= self.least).collect();
        encode::map_header(2, resp3, out);
        encode::bulk(b"matches", out);
        encode::array_header(pieces.len(), out);
        for (in_a, in_b, length) in pieces {
            encode::array_header(if self.with_lengths { 3 } else { 2 }, out);
            for start in [in_a, in_b] {
                encode::array_header(2, out);
                encode::integer(start as i64, out);
                encode::integer((start + length - 1) as i64, out);
            }
            if self.with_lengths {
                encode::integer(length as i64, out);
            }
        }
        encode::bulk(b"len", out);
        encode::integer(length as i64, out);
        Some(())
    }
}

/// For each pair of beginnings the length of what they have in common. Never more than the shorter string has bytes,
/// which the bound of cells keeps below 2^16.
struct Table {
    cells: Vec<u16>,
    width: usize,
}

const _: () = assert!(LCS_CELLS < (u16::MAX as usize) * (u16::MAX as usize));

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let width = b.len() + 1;
        let mut cells = vec![0u16; width * (a.len() + 1)];
        for (row, x) in a.iter().enumerate() {
            let (done, rest) = cells.split_at_mut((row + 1) * width);
            let above = &done[row * width..];
            let mut left = 0;
            for ((cell, pair), y) in rest[1..].iter_mut().zip(above.windows(2)).zip(b) {
                left = if x == y { pair[0] + 1 } else { left.max(pair[1]) };
                *cell = left;
            }
        }
        Table { cells, width }
    }

    fn at(&self, a: usize, b: usize) -> u16 {
        self.cells.get(a * self.width + b).copied().unwrap_or(0)
    }

    /// What both have, and its pieces, the last first.
    fn walk_back(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Piece>) {
        let (mut i, mut j) = (a.len(), b.len());
        let (mut common, mut pieces) = (Vec::new(), Vec::new());
        let mut piece: Option<Piece> = None;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push(a[i]);
                piece = Some((i, j, piece.map_or(0, |(_, _, length)| length) + 1));
                continue;
            }
            if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
            pieces.extend(piece.take());
        }
        pieces.extend(piece);
        common.reverse();
        (common, pieces)
    }
}
