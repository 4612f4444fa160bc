//! The page itself: each row is complete, its id is its own, and some test shows it.

use std::collections::HashSet;

use super::table;

#[test]
fn rows_are_complete_and_ids_unique() {
    let mut ids = HashSet::new();
    for row in table::rows() {
        assert!(ids.insert(row.id), "`{}` is there twice", row.id);
        // Nobody needs to be told why a bug is gone.
        let [what, twemproxy, cashew, _why] = row.cells[..] else {
            panic!("`{}` needs five cells: {:?}", row.id, row.cells)
        };
        let says_something = !twemproxy.is_empty() || !cashew.is_empty();
        assert!(says_something && !what.is_empty(), "`{}`", row.id);
    }
    assert!(ids.len() > 30, "the page could not be read");
}

#[test]
fn every_row_is_shown_by_a_test() {
    let shown = |id: &str| {
        let (case, call) = (format!("{id} |"), format!("\"{id}\""));
        SOURCES.iter().any(|source| source.contains(&case) || source.contains(&call))
    };
    let missing: Vec<&str> = table::rows().into_iter().map(|row| row.id).filter(|id| !shown(id)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

/// Where cases have ids, and where `table::listed` is called.
const SOURCES: &[&str] = &[
    include_str!("commands.rs"),
    include_str!("redis.rs"),
    include_str!("memcache.rs"),
    include_str!("trouble.rs"),
    include_str!("../cli.rs"),
    include_str!("../signals.rs"),
    include_str!("../stats.rs"),
    include_str!("../limits.rs"),
    include_str!("../failure.rs"),
    include_str!("../memcache/pool.rs"),
];
