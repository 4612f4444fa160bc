//! The hash functions by name. Each has a file of its own; all take any bytes and give 32 bits.
//!
//! Six of twemproxy's add a byte as a C `char`, which is signed on x86 and unsigned on ARM. Those here give
//! x86's answers on every machine.

mod crc16;
mod crc32;
mod fnv;
mod hsieh;
mod jenkins;
mod md5;
mod murmur;
mod one_at_a_time;
mod xxh3;

use std::fmt;
use std::str::FromStr;

use crate::UnknownName;

pub(crate) use self::md5::digest as md5_digest;

/// A pool's `hash:`. All but [`HashKind::Xxh3`] are twemproxy's, faults included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// Bob Jenkins' one-at-a-time.
    OneAtATime,
    /// The first four bytes of MD5.
    Md5,
    /// CRC-16/XMODEM in the low half, leftovers of its shifts in the high half.
    Crc16,
    /// 15 bits of CRC-32. With `ketama` this puts nearly every key on one server.
    Crc32,
    /// CRC-32 as in zlib.
    Crc32a,
    /// The low half of 64-bit FNV-1.
    Fnv1_64,
    /// FNV-1a with the 64-bit constants cut to 32 bits; twemproxy's default.
    #[default]
    Fnv1a64,
    /// 32-bit FNV-1.
    Fnv1_32,
    /// 32-bit FNV-1a.
    Fnv1a32,
    /// Paul Hsieh's SuperFastHash, started from 0.
    Hsieh,
    /// MurmurHash2 with a seed made from the length.
    Murmur,
    /// Bob Jenkins' lookup3.
    Jenkins,
    /// The low half of 64-bit XXH3; not in twemproxy, and the one to take when starting anew.
    Xxh3,
}

impl HashKind {
    /// Every hash, twemproxy's first.
    pub const ALL: [HashKind; 13] = [
        HashKind::OneAtATime,
        HashKind::Md5,
        HashKind::Crc16,
        HashKind::Crc32,
        HashKind::Crc32a,
        HashKind::Fnv1_64,
        HashKind::Fnv1a64,
        HashKind::Fnv1_32,
        HashKind::Fnv1a32,
        HashKind::Hsieh,
        HashKind::Murmur,
        HashKind::Jenkins,
        HashKind::Xxh3,
    ];

    /// Its name in a configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            HashKind::OneAtATime => "one_at_a_time",
            HashKind::Md5 => "md5",
            HashKind::Crc16 => "crc16",
            HashKind::Crc32 => "crc32",
            HashKind::Crc32a => "crc32a",
            HashKind::Fnv1_64 => "fnv1_64",
            HashKind::Fnv1a64 => "fnv1a_64",
            HashKind::Fnv1_32 => "fnv1_32",
            HashKind::Fnv1a32 => "fnv1a_32",
            HashKind::Hsieh => "hsieh",
            HashKind::Murmur => "murmur",
            HashKind::Jenkins => "jenkins",
            HashKind::Xxh3 => "xxh3",
        }
    }

    /// The hash of that name, spelt exactly so.
    pub fn from_name(name: &str) -> Option<HashKind> {
        HashKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Hashes `key`. An empty key is hashed like any other; that routing takes 0 for it is
    /// [`Placement`](crate::Placement)'s affair.
    #[inline]
    pub fn hash(self, key: &[u8]) -> u32 {
        match self {
            HashKind::OneAtATime => one_at_a_time::hash(key),
            HashKind::Md5 => md5::hash(key),
            HashKind::Crc16 => crc16::hash(key),
            HashKind::Crc32 => crc32::hash_15_bits(key),
            HashKind::Crc32a => crc32::hash(key),
            HashKind::Fnv1_64 => fnv::fnv1_64(key),
            HashKind::Fnv1a64 => fnv::fnv1a_64(key),
            HashKind::Fnv1_32 => fnv::fnv1_32(key),
            HashKind::Fnv1a32 => fnv::fnv1a_32(key),
            HashKind::Hsieh => hsieh::hash(key),
            HashKind::Murmur => murmur::hash(key),
            HashKind::Jenkins => jenkins::hash(key),
            HashKind::Xxh3 => xxh3::hash(key),
        }
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for HashKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<HashKind, UnknownName> {
        HashKind::from_name(name).ok_or_else(|| UnknownName {
            what: "hash",
            name: name.to_owned(),
            known: HashKind::ALL.map(HashKind::name).to_vec(),
        })
    }
}

/// A byte as C's signed `char` widened to 32 bits: 0x80 is 0xffffff80.
const fn signed(byte: u8) -> u32 {
    byte as i8 as u32
}
