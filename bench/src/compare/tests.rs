//! What a comparison decides without running anything.

use super::*;
use crate::scenario::SETS;

#[test]
fn a_comparison_ends_in_time() {
    let check = |turns: usize| {
        let turn = usual_seconds(turns) + WARM_UP.as_secs_f64() + TURN_OVERHEAD.as_secs_f64();
        turn * turns as f64
    };
    // No scenario is for both envoy and mcproxy.
    let usual = SETS[0].rows.len() * (crate::cli::all_kinds().len() - 1) * Options::default().rounds as usize;
    assert!(check(usual) < 220.0, "{}", check(usual));
    assert!(check(4) < 15.0);
}

#[test]
fn the_slowest_that_shards_decides_the_rate() {
    let entry = |kind: Kind, saturation| {
        let contender = Contender { kind, target: ([127, 0, 0, 1], 1).into(), process: None };
        (contender, ProxyRecord { saturation, ..ProxyRecord::new(kind.name()) })
    };
    let haproxy = || entry(Kind::Haproxy, Some(100.0));
    let all = [haproxy(), entry(Kind::Cashew, Some(300.0)), entry(Kind::Nutcracker, Some(200.0))];
    assert_eq!(slowest(&all), 200.0);
    assert_eq!(slowest(&[haproxy(), entry(Kind::Direct, Some(150.0)), entry(Kind::Envoy, None)]), 100.0);
    assert_eq!(slowest(&[]), 0.0);
}

#[test]
fn names_of_files() {
    let options = Options { only: Some("redis,../mc".to_owned()), rate: Rate::Half, ..Options::default() };
    assert_eq!(set_of(&options), "redis++++mc-half");
    assert_eq!(set_of(&Options { provisional: true, ..Options::default() }), "main-provisional");
    assert_eq!(
        set_of(&Options { rate: Rate::Fixed(9), set: Some("all".to_owned()), ..Options::default() }),
        "all-at-9"
    );
}
