//! What twemproxy does not have must stay as it is, too: a version that placed keys otherwise would empty the
//! caches behind it. These answers were recorded from the first version.

use placement::{DistributionKind, HashKind, HashTag, Member, Placement, Ring};
use sha2::{Digest, Sha256};

#[test]
fn xxh3_is_the_low_half_of_the_published_one() {
    assert_eq!(HashKind::Xxh3.hash(b""), 0x2d06_8005_38d3_94c2_u64 as u32);
    assert_eq!(HashKind::Xxh3.hash(b"abc"), 0x78af_5f94_892f_3950_u64 as u32);
}

#[test]
fn placements_stay() {
    for (kind, live, expected) in [
        (DistributionKind::Maglev, "all", "c8494e8a71339b96"),
        (DistributionKind::Maglev, "some", "2808eb7c8e5d9455"),
        (DistributionKind::Jump, "all", "90d6cf090512fb01"),
        (DistributionKind::Jump, "some", "488a58b75453ccf2"),
        (DistributionKind::Rendezvous, "all", "83b9bdf14c5c86fc"),
        (DistributionKind::Rendezvous, "some", "c26cce88b02151e1"),
    ] {
        let member = |(place, weight): (usize, &u32)| Member {
            name: format!("10.0.0.{}:6379", 9 * place).into_bytes(),
            weight: *weight,
            live: live == "all" || place % 3 != 1,
        };
        let members: Vec<_> = [1, 3, 1, 7, 100, 50, 1].iter().enumerate().map(member).collect();
        let ring = Ring::new(kind, &members);
        let mut sha256 = Sha256::new();
        for number in 0..10_000 {
            let hash = HashKind::Xxh3.hash(format!("user:{number}").as_bytes());
            sha256.update(
                ring.lookup(hash, || unreachable!("keys are placed, not drawn")).unwrap().to_le_bytes(),
            );
        }
        let start: String = sha256.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(start, expected, "{kind}, {live} live");
    }
}

#[test]
fn names_are_read_as_written() {
    for kind in HashKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    for kind in DistributionKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    assert_eq!(HashKind::from_name("MD5"), None);
    assert_eq!(HashKind::from_name(""), None);
    assert_eq!(DistributionKind::from_name("ketama "), None);
    let error = "consistent".parse::<DistributionKind>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "'consistent' is not a distribution; known are: ketama, modula, random, maglev, jump, rendezvous"
    );
}

#[test]
fn an_empty_key_counts_as_hash_0_and_a_tag_is_what_is_hashed() {
    let members = ["a", "b", "c", "d", "e"].map(|name| Member { name: name.into(), weight: 1, live: true });
    let ring = Ring::new(DistributionKind::Modula, &members);
    let placement = Placement { hash: HashKind::Xxh3, tag: Some(HashTag::new(*b"{}")), ring };
    let server = |key: &str| placement.server(key.as_bytes(), || unreachable!("keys are placed, not drawn"));
    assert_eq!(server(""), Some(0));
    assert_ne!(HashKind::Xxh3.hash(b"") % 5, 0, "or the line above shows nothing");
    for number in 0..100 {
        assert_eq!(server(&format!("x{{{number}}}y")), server(&number.to_string()));
    }
}

#[test]
fn nobody_to_serve() {
    let one = Member { name: b"a".to_vec(), weight: 1, live: false };
    for kind in DistributionKind::ALL {
        for members in
            [vec![], vec![one.clone()], vec![one.clone(), Member { name: b"b".to_vec(), ..one.clone() }]]
        {
            let placement = Placement { hash: HashKind::Md5, tag: None, ring: Ring::new(kind, &members) };
            assert_eq!(placement.ring.members(), members.len());
            assert_eq!(placement.server(b"key", || unreachable!("nobody to draw")), None, "{kind}");
        }
    }
}
