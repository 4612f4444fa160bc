//! Scripts that clients have sent, by their SHA1, so that a server which has forgotten one can be told again.

use crate::limits::{SCRIPT_BYTES, SCRIPTS_BYTES, SCRIPTS_KEPT};
use sha1::{Digest, Sha1};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

/// The SHA1 of a script's text as redis writes it: 40 hexadecimal digits in lower case.
pub(crate) type Sha = [u8; 40];

/// The scripts of a pool that one worker has seen, the oldest of which give way.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    texts: BTreeMap<Sha, Box<[u8]>>,
    order: VecDeque<Sha>,
    bytes: usize,
    /// Which script a text was that looked like this: saves most of the hashing.
    looks: BTreeMap<u64, Sha>,
}

impl Scripts {
    /// A client has sent a script; answers its SHA1.
    pub(crate) fn learn(&mut self, text: &[u8]) -> Sha {
        let look = look(text);
        if let Some(sha) = self.looks.get(&look)
            && self.texts.get(sha).is_some_and(|known| **known == *text)
        {
            return *sha;
        }
        let sha = sha_of(text);
        if text.len() > SCRIPT_BYTES {
            return sha;
        }
        if let Entry::Vacant(place) = self.texts.entry(sha) {
            place.insert(text.into());
            self.order.push_back(sha);
            self.bytes += text.len();
            self.shrink();
        }
        if self.looks.len() >= 2 * SCRIPTS_KEPT {
            self.looks.clear();
        }
        self.looks.insert(look, sha);
        sha
    }

    /// The text of a script.
    pub(crate) fn text(&self, sha: &[u8]) -> Option<&[u8]> {
        self.texts.get(&lower(sha)?).map(|text| &**text)
    }

    /// All servers are told to forget their scripts.
    pub(crate) fn clear(&mut self) {
        *self = Scripts::default();
    }

    fn shrink(&mut self) {
        while self.order.len() > SCRIPTS_KEPT || self.bytes > SCRIPTS_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.texts.remove(&oldest).map_or(0, |text| text.len());
        }
    }
}

fn lower(sha: &[u8]) -> Option<Sha> {
    let mut sha: Sha = sha.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

fn sha_of(text: &[u8]) -> Sha {
    let mut sha = [0; 40];
    for (byte, digits) in Sha1::digest(text).iter().zip(sha.chunks_exact_mut(2)) {
        digits[0] = HEX[usize::from(byte >> 4)];
        digits[1] = HEX[usize::from(byte & 15)];
    }
    sha
}

/// What a text looks like at its ends. A mistake costs one hash.
fn look(text: &[u8]) -> u64 {
    let end = text.len().saturating_sub(LOOK_BYTES);
    let (head, tail) = (&text[..text.len().min(LOOK_BYTES)], &text[end..]);
    let ends = head.iter().chain(tail);
    ends.fold(text.len() as u64, |look, byte| (look ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

const LOOK_BYTES: usize = 32;
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_its_sha1() {
        let mut scripts = Scripts::default();
        let sha = scripts.learn(b"return 1");
        assert_eq!(&sha, b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(scripts.learn(b"return 1"), sha);
        assert_eq!(scripts.text(&sha.to_ascii_uppercase()), Some(b"return 1".as_slice()));
        assert_eq!(scripts.text(b"e0e1"), None);
        scripts.clear();
        assert_eq!(scripts.text(&sha), None);
    }

    #[test]
    fn texts_that_look_alike_are_told_apart() {
        let mut scripts = Scripts::default();
        let text = |middle: &str| format!("{}{middle}{}", "a".repeat(LOOK_BYTES), "z".repeat(LOOK_BYTES));
        let (one, other) = (scripts.learn(text("1").as_bytes()), scripts.learn(text("2").as_bytes()));
        assert_ne!(one, other);
        assert_eq!(scripts.learn(text("1").as_bytes()), one);
        assert_eq!(scripts.text(&other), Some(text("2").as_bytes()));
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut scripts = Scripts::default();
        let first = scripts.learn(b"return 0");
        for n in 1..=SCRIPTS_KEPT {
            scripts.learn(format!("return {n}").as_bytes());
        }
        assert_eq!((scripts.text(&first), scripts.order.len()), (None, SCRIPTS_KEPT));
        let mut scripts = Scripts::default();
        for n in 0..2 * SCRIPTS_BYTES / SCRIPT_BYTES {
            let text = vec![n as u8; SCRIPT_BYTES];
            let sha = scripts.learn(&text);
            assert!(scripts.text(&sha).is_some() && scripts.bytes <= SCRIPTS_BYTES);
        }
        let large = scripts.learn(&vec![b'x'; SCRIPT_BYTES + 1]);
        assert_eq!(scripts.text(&large), None);
    }
}
