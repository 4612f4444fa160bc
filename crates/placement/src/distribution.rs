//! The distributions by name.

use std::fmt;
use std::str::FromStr;

use crate::UnknownName;

/// A pool's `distribution:`, which turns a key's hash into a server. The first three are twemproxy's.
///
/// | | on adding one server to n | on ejecting one | weights | lookup |
/// | --- | --- | --- | --- | --- |
/// | ketama | about 1/(n+1) of the keys move, to the new one ¹ | its keys move ¹ | to about 1 in 40·n | O(1), typically |
/// | modula | nearly all keys move | nearly all keys move | exact | O(log n) |
/// | random | keys have no place | keys have no place | ignored | O(1) |
/// | maglev | 1/(n+1), and less than 1 in 50 between others | its keys move | to about 1 in 65,537 | O(1) |
/// | jump | 1/(n+1), if its name sorts last; else more | its keys move | exact | O(log total weight) |
/// | rendezvous | 1/(n+1), to the new one | its keys move | exact | O(n) |
///
/// ¹ With equal weights, and where single-precision rounding leaves every server its 160 points: twemproxy
/// gives 156 at 25, 47, 50 and other numbers of servers, and going to or from those moves some keys more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DistributionKind {
    /// Consistent hashing over up to 160 points per server, compatible with libketama; twemproxy's default.
    #[default]
    Ketama,
    /// Hash modulo total weight.
    Modula,
    /// Any live server, the key regardless.
    Random,
    /// A table of 65,537 slots that servers fill in turns (Eisenbud et al., NSDI 2016): the evenest.
    Maglev,
    /// Jump consistent hash (Lamping and Veach, 2014): even, no table; servers should come and go at the
    /// end of the name order.
    Jump,
    /// Highest random weight (Thaler and Ravishankar, 1996): the least movement in every case, for pools
    /// of up to some tens of servers.
    Rendezvous,
}

impl DistributionKind {
    /// Every distribution, twemproxy's first.
    pub const ALL: [DistributionKind; 6] = [
        DistributionKind::Ketama,
        DistributionKind::Modula,
        DistributionKind::Random,
        DistributionKind::Maglev,
        DistributionKind::Jump,
        DistributionKind::Rendezvous,
    ];

    /// Its name in a configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            DistributionKind::Ketama => "ketama",
            DistributionKind::Modula => "modula",
            DistributionKind::Random => "random",
            DistributionKind::Maglev => "maglev",
            DistributionKind::Jump => "jump",
            DistributionKind::Rendezvous => "rendezvous",
        }
    }

    /// The distribution of that name, spelt exactly so.
    pub fn from_name(name: &str) -> Option<DistributionKind> {
        DistributionKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for DistributionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DistributionKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<DistributionKind, UnknownName> {
        DistributionKind::from_name(name).ok_or_else(|| UnknownName {
            what: "distribution",
            name: name.to_owned(),
            known: DistributionKind::ALL.map(DistributionKind::name).to_vec(),
        })
    }
}
