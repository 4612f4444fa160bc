//! Which crate may use which (ARCHITECTURE.md draws it). Nothing points upward.

use serde_json::Value;

use super::metadata::{list, packages, text};

/// A crate and the crates of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("cashew", &["control", "worker", "engine", "config", "stats", "embedded", "reactor"]),
    ("control", &["worker", "engine", "reactor", "config", "stats"]),
    ("worker", &["engine", "reactor", "stats", "config"]),
    ("engine", &["wire", "placement", "stats", "config"]),
    ("config", &["placement"]),
    ("embedded", &[]),
    ("placement", &[]),
    ("reactor", &[]),
    ("stats", &[]),
    ("testkit", &[]),
    ("wire", &[]),
];

/// Not part of the proxy: they may use any crate, and none may use them.
const TOOLS: &[&str] = &["bench", "xtask"];

/// Real servers and misbehaving peers, which only tests may meet.
const TESTKIT: &str = "testkit";

pub(super) fn check(metadata: &Value) -> Vec<String> {
    uses(metadata).iter().filter_map(wrong).collect()
}

/// One crate of ours uses another one.
#[derive(Debug, PartialEq)]
pub(super) struct Use {
    pub(super) user: String,
    pub(super) used: String,
    /// Only its tests do.
    pub(super) in_tests: bool,
}

/// What is wrong with an arrow, if anything.
pub(super) fn wrong(arrow: &Use) -> Option<String> {
    let Use { user, used, in_tests } = arrow;
    if used == TESTKIT {
        return (!in_tests).then(|| format!("{user}: may use {TESTKIT} in [dev-dependencies] only"));
    }
    if TOOLS.contains(&user.as_str()) {
        return None;
    }
    let Some((_, may_use)) = ARROWS.iter().find(|(name, _)| name == user) else {
        return Some(format!("{user}: has no row in ARROWS (xtask/src/tidy/arrows.rs): say what it may use"));
    };
    let fine =
        if *in_tests { below(user).contains(&used.as_str()) } else { may_use.contains(&used.as_str()) };
    (!fine).then(|| format!("{user}: must not use {used}; it may use {may_use:?} (xtask/src/tidy/arrows.rs)"))
}

/// All that a crate uses, directly or not: tests may look that far down.
fn below(user: &str) -> Vec<&'static str> {
    let row = ARROWS.iter().find(|(name, _)| *name == user);
    let used = row.map_or(&[][..], |(_, used)| used);
    used.iter().flat_map(|used| below(used).into_iter().chain([*used])).collect()
}

/// Every arrow between crates of the workspace.
pub(super) fn uses(metadata: &Value) -> Vec<Use> {
    let ours = || packages(metadata).filter(|package| package["source"].is_null());
    let names: Vec<&str> = ours().map(|package| text(package, "name")).collect();
    let arrows = ours().flat_map(|package| {
        let user = text(package, "name");
        list(package, "dependencies").map(move |used| Use {
            user: user.to_owned(),
            used: text(used, "name").to_owned(),
            in_tests: used["kind"] == "dev",
        })
    });
    arrows.filter(|arrow| names.contains(&arrow.used.as_str())).collect()
}
