//! Every answer recorded from twemproxy (tests/vectors/README.md says how).

use std::collections::BTreeMap;

use placement::{DistributionKind, HashKind, HashTag, Member, Placement, Ring, name_order};
use sha2::{Digest, Sha256};

#[test]
fn hashes() {
    let rows = rows(include_str!("vectors/hashes.csv"));
    assert_eq!(rows.len(), 792);
    for [hash, key, value] in rows {
        let kind: HashKind = hash.parse().unwrap();
        assert_eq!(kind.hash(&bytes(&key)), value.parse::<u32>().unwrap(), "{hash} of {key}");
    }
}

#[test]
fn hash_tags() {
    let rows = rows(include_str!("vectors/hashtag.csv"));
    assert_eq!(rows.len(), 124);
    for [tag, key, part] in rows {
        let tag = HashTag::new(tag.as_bytes().try_into().unwrap());
        assert_eq!(tag.part(&bytes(&key)), bytes(&part), "{tag:?} {key}");
    }
}

#[test]
fn servers() {
    let cases = cases();
    let rows = rows(include_str!("vectors/distribution.csv"));
    assert_eq!(rows.len(), 12_000);
    let mut placements = BTreeMap::new();
    for [case, distribution, hash, key, server] in rows {
        let placement = placements.entry((case.clone(), distribution.clone())).or_insert_with(|| {
            let kind = distribution.parse().unwrap();
            Placement { hash: HashKind::Md5, tag: None, ring: Ring::new(kind, &cases[&case].members) }
        });
        placement.hash = hash.parse().unwrap();
        let chosen = placement.server(&bytes(&key), || unreachable!("keys are placed, not drawn"));
        assert_eq!(chosen, server.parse().ok(), "{case} {distribution} {hash} {key}");
    }
    assert_eq!(placements.len(), 2 * cases.len());
}

#[test]
fn ketama_rings() {
    for (name, case) in cases() {
        let ring = Ring::new(DistributionKind::Ketama, &case.members);
        let mut points = vec![0; case.members.len()];
        let mut sha256 = Sha256::new();
        for (value, index) in ring.points() {
            sha256.update(value.to_le_bytes());
            sha256.update(index.to_le_bytes());
            points[index as usize] += 1;
        }
        assert_eq!(points, case.points, "{name}");
        let sha256: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, case.sha256, "{name}");
    }
}

#[test]
fn order_of_names() {
    for (name, case) in cases() {
        let mut sorted: Vec<_> = case.members.iter().map(|member| &member.name).collect();
        sorted.sort_by(|a, b| name_order(a, b));
        assert!(sorted.into_iter().eq(&case.internal_order), "{name}");
    }
}

#[derive(Default)]
struct Case {
    members: Vec<Member>,
    /// Ketama points per member.
    points: Vec<usize>,
    internal_order: Vec<Vec<u8>>,
    sha256: String,
}

/// The pools of distribution-cases.md, from the tables of their servers in twemproxy's order. A server has
/// as many modula slots as weight.
fn cases() -> BTreeMap<String, Case> {
    let mut cases = BTreeMap::new();
    for section in include_str!("vectors/distribution-cases.md").split("\n## ").skip(1) {
        let (name, text) = section.split_once('\n').unwrap();
        let mut case = Case::default();
        let mut servers = BTreeMap::new();
        for row in text.lines().filter(|line| line.starts_with("| ")).skip(1) {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let &[_, _, index, name, points, weight, _] = cells.as_slice() else { panic!("{row}") };
            let member = Member { name: name.into(), weight: weight.parse().unwrap(), live: true };
            case.internal_order.push(member.name.clone());
            servers.insert(index.parse::<usize>().unwrap(), (member, points.parse::<usize>().unwrap()));
        }
        (case.members, case.points) = servers.into_values().unzip();
        let (_, sha256) = text.split_once("ring sha256: `").unwrap();
        case.sha256 = sha256[..64].to_owned();
        cases.insert(name.to_owned(), case);
    }
    assert_eq!(cases.len(), 10);
    cases
}

fn rows<const COLUMNS: usize>(table: &str) -> Vec<[String; COLUMNS]> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let row = |row: Result<csv::StringRecord, _>| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>();
    reader.records().map(|record| row(record).try_into().unwrap()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "{hex}");
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
