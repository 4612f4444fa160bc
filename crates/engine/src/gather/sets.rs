//! Sets put together: SUNION, SINTER, SDIFF and their counts. A set has no order, and neither has the answer: redis' own
//! differs from server to server.

use super::Together;
use std::collections::HashSet;
use wire::resp::reply as resp;

/// The members of a set as its server has sent them.
pub(super) fn members(reply: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, elements) = resp::elements(reply)?;
    let members = elements.map(resp::bulk).collect::<Option<Vec<_>>>()?;
    (members.len() == count).then_some(members)
}

/// The same of each of several.
pub(super) fn members_of_all<'a>(replies: &[&'a [u8]]) -> Option<Vec<Vec<&'a [u8]>>> {
    replies.iter().map(|reply| members(reply)).collect()
}

/// The members of `sets` put together, each once.
pub(super) fn put_together<'a>(how: Together, sets: &[Vec<&'a [u8]>]) -> Vec<&'a [u8]> {
    match how {
        Together::Union => {
            let mut seen = HashSet::new();
            sets.iter().flatten().copied().filter(|member| seen.insert(*member)).collect()
        }
        Together::Inter => {
            let mut smallest_first: Vec<&Vec<&[u8]>> = sets.iter().collect();
            smallest_first.sort_by_key(|set| set.len());
            let mut sets = smallest_first.into_iter();
            let mut left: HashSet<&[u8]> = sets.next().into_iter().flatten().copied().collect();
            for set in sets {
                if left.is_empty() {
                    break;
                }
                left = set.iter().copied().filter(|member| left.contains(member)).collect();
            }
            left.into_iter().collect()
        }
        Together::Diff => {
            let mut sets = sets.iter();
            let mut left: HashSet<&[u8]> = sets.next().into_iter().flatten().copied().collect();
            sets.flatten().for_each(|member| _ = left.remove(member));
            left.into_iter().collect()
        }
    }
}
