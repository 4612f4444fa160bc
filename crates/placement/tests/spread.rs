//! How evenly keys spread, and which of them move when servers come and go. Bounds are six standard deviations
//! of the sample or more, so that a failure is no chance.

use std::collections::BTreeSet;

use placement::{DistributionKind, HashKind, Member, Ring};
use proptest::prelude::*;

use DistributionKind::{Jump, Ketama, Maglev, Modula, Random, Rendezvous};

/// Those that promise to move few keys.
const CONSISTENT: [DistributionKind; 4] = [Ketama, Maglev, Jump, Rendezvous];
const KEYS: u32 = 20_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_spread_by_weight(names in names(16), weights in weights(16)) {
        for kind in CONSISTENT {
            let members = pool(kind, &names, &weights);
            let ring = Ring::new(kind, &members);
            let counts = counts(&ring, &members);
            for (position, count) in counts.iter().enumerate() {
                let (share, slack) = expected(kind, &ring, &members, position);
                let off = (count - share * f64::from(KEYS)).abs();
                prop_assert!(off <= sampling(share) + slack * f64::from(KEYS), "{kind} {members:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn an_added_server_takes_its_share_and_no_more(names in names(16), weights in weights(16)) {
        for kind in CONSISTENT {
            // With unequal weights a further server changes how many points every ketama server has.
            let weights = if kind == Ketama { &[1; 16][..] } else { &weights };
            let mut members = pool(kind, &names, weights);
            members.sort_by(|a, b| placement::name_order(&a.name, &b.name));
            let after = Ring::new(kind, &members);
            let new = members.len() - 1; // last in name order, which matters to jump
            let before = Ring::new(kind, &members[..new]);
            let (mut moved, mut between_others) = (0.0, 0.0);
            for hash in hashes() {
                let (from, to) = (place(&before, hash), place(&after, hash));
                if from != to {
                    *(if to == Some(new) { &mut moved } else { &mut between_others }) += 1.0;
                }
            }
            if new == 0 {
                continue;
            }
            let (share, slack) = expected(kind, &after, &members, new);
            let most = share * f64::from(KEYS) + sampling(share) + slack * f64::from(KEYS);
            prop_assert!(moved > 0.0 && moved <= most, "{kind} {members:?}: {moved}");
            let most = if kind == Maglev { f64::from(KEYS) / 50.0 } else { 0.0 };
            prop_assert!(between_others <= most, "{kind} {members:?}: {between_others}");
        }
    }

    #[test]
    fn an_ejected_server_moves_its_keys_only(names in names(16), weights in weights(16), dead in 0..8usize) {
        for kind in CONSISTENT {
            let weights = if kind == Ketama { &[1; 16][..] } else { &weights };
            let mut members = pool(kind, &names, weights);
            let mut ring = Ring::new(kind, &members);
            for ejected in 0..dead.min(members.len()) {
                members[ejected].live = false;
                let weight = |member: &Member| f64::from(member.weight);
                let live: f64 = members.iter().filter(|member| member.live).map(weight).sum();
                if live < 0.6 * members.iter().map(weight).sum::<f64>() {
                    break; // with less left, maglev and jump give up on the rule for a few keys
                }
                let without = Ring::new(kind, &members);
                for hash in hashes() {
                    let (from, to) = (place(&ring, hash), place(&without, hash));
                    prop_assert!(from == to || from == Some(ejected), "{kind} {members:?}: {from:?} to {to:?}");
                }
                ring = without;
            }
        }
    }

    #[test]
    fn a_key_has_a_live_server_if_there_is_one(names in names(12), raw in prop::collection::vec(odd_member(), 12)) {
        for kind in DistributionKind::ALL {
            let member = |(name, (weight, live)): (&String, &(u32, bool))| {
                Member { name: name.clone().into_bytes(), weight: *weight, live: *live }
            };
            let members: Vec<_> = names.iter().zip(&raw).map(member).collect();
            let ring = Ring::new(kind, &members);
            let serves = |member: &Member| member.live && member.weight > 0;
            for hash in hashes().take(200).chain([0, 1, u32::MAX]) {
                match place(&ring, hash) {
                    Some(position) => prop_assert!(serves(&members[position]), "{kind} {members:?} {hash}"),
                    None => prop_assert!(!members.iter().any(serves), "{kind} {members:?} {hash}"),
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(names in names(12), weights in weights(12), turn in 0..12usize) {
        for kind in DistributionKind::ALL {
            let members = pool(kind, &names, &weights);
            let mut turned = members.clone();
            turned.rotate_left(turn % members.len());
            turned.reverse();
            let (ring, other) = (Ring::new(kind, &members), Ring::new(kind, &turned));
            for hash in hashes().take(500) {
                let (a, b) = (place(&ring, hash).unwrap(), place(&other, hash).unwrap());
                prop_assert_eq!(&members[a].name, &turned[b].name, "{}", kind);
            }
        }
    }

    #[test]
    fn modula_is_a_table_of_slots(names in names(12), weights in weights(12)) {
        let mut members = pool(Modula, &names, &weights);
        members.sort_by(|a, b| placement::name_order(&a.name, &b.name));
        let slots = members.iter().enumerate().flat_map(|(i, m)| vec![i; m.weight as usize]);
        let slots: Vec<_> = slots.collect();
        let ring = Ring::new(Modula, &members);
        for hash in hashes().take(500) {
            prop_assert_eq!(place(&ring, hash), Some(slots[hash as usize % slots.len()]));
        }
    }
}

#[test]
fn the_greatest_weights_share_evenly() {
    for kind in [Ketama, Modula, Maglev, Jump, Rendezvous] {
        let members = pool(kind, &["a", "b", "c"].map(str::to_owned), &[u32::MAX; 3]);
        let ring = Ring::new(kind, &members);
        for count in counts(&ring, &members) {
            let share = count / f64::from(KEYS);
            let slack = if kind == Ketama { 0.2 } else { 0.03 };
            assert!((share - 1.0 / 3.0).abs() < slack, "{kind}: {share}");
        }
    }
}

#[test]
fn random_takes_live_servers_in_name_order() {
    let mut members = pool(Random, &["ccc", "bb", "a", "zz"].map(str::to_owned), &[9, 1, 1, 1]);
    members[1].live = false;
    let ring = Ring::new(Random, &members);
    for (number, expected) in [(0, 2), (1, 3), (2, 0), (3, 2), (u32::MAX, 2)] {
        assert_eq!(ring.lookup(77, || number), Some(expected), "{number}");
    }
}

fn names(most: usize) -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof!["[a-z]{1,3}", "10\\.0\\.[0-9]\\.[0-9]{1,2}:6379", "cache-[0-9]{1,3}"];
    prop::collection::btree_set(name, 1..=most)
        .prop_map(|names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn weights(count: usize) -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        (1..1000u32).prop_map(move |weight| vec![weight; count]),
        prop::collection::vec(1..=20u32, count),
    ]
}

fn odd_member() -> impl Strategy<Value = (u32, bool)> {
    (prop_oneof![Just(0), Just(1), Just(u32::MAX), 1..=100u32, any::<u32>()], any::<bool>())
}

fn pool(kind: DistributionKind, names: &[String], weights: &[u32]) -> Vec<Member> {
    let equal = weights.iter().all(|weight| *weight == weights[0]);
    // Points in ketama are few; unequal weights are kept near each other so that every server has 40 or more.
    let weight = |weight: u32| if kind == Ketama && !equal { weight % 4 + 1 } else { weight };
    let member =
        |(name, &w): (&String, _)| Member { name: name.as_bytes().into(), weight: weight(w), live: true };
    names.iter().zip(weights).map(member).collect()
}

/// A server's share of the keys, and how far off the distribution itself may be.
fn expected(kind: DistributionKind, ring: &Ring, members: &[Member], position: usize) -> (f64, f64) {
    let total: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
    let share = f64::from(members[position].weight) / total;
    match kind {
        // A share of p points has a relative standard deviation of one in the root of p.
        Ketama => {
            let own = ring.points().filter(|(_, owner)| *owner as usize == position).count() as f64;
            let share = own / ring.points().count() as f64;
            (share, 8.0 * share / own.sqrt())
        }
        Maglev => (share, (1.0 + share * members.len() as f64) / 65_537.0),
        _ => (share, 0.0),
    }
}

/// Six standard deviations of how many of the sample's keys fall into a share.
fn sampling(share: f64) -> f64 {
    6.0 * (f64::from(KEYS) * share * (1.0 - share)).sqrt() + 6.0
}

fn counts(ring: &Ring, members: &[Member]) -> Vec<f64> {
    let mut counts = vec![0.0; members.len()];
    hashes().for_each(|hash| counts[place(ring, hash).unwrap()] += 1.0);
    counts
}

fn place(ring: &Ring, hash: u32) -> Option<usize> {
    ring.lookup(hash, || hash).map(|position| position as usize)
}

fn hashes() -> impl Iterator<Item = u32> {
    (0..KEYS).map(|number| HashKind::Xxh3.hash(format!("user:{number}").as_bytes()))
}
