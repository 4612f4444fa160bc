//! Which scenarios are run together, and which of them the command line asks for.

use crate::scenario::Scenario;
use anyhow::{Context as _, Result, bail};

/// Scenarios that are run together.
#[derive(Debug)]
pub(crate) struct Set {
    /// The word for `--set`.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) what: &'static str,
    /// Names of scenarios.
    pub(crate) rows: &'static [&'static str],
}

/// Every set; the first is run when none is asked for. `all` is all of them.
#[rustfmt::skip] // a table: one row, one line
pub(crate) const SETS: &[Set] = &[
    Set { name: "main", what: "what proxies mostly do, and one of each that costs otherwise", rows: &[
        "redis-get", "redis-set", "redis-mix", "redis-get-500", "redis-get-pipe16", "redis-set-pipe16", "redis-mget20", "redis-get-16k",
        "redis-get-idle10000", "redis-connect",
        "mc-get", "mc-mix", "mc-mix-500", "mc-mix-pipe16", "mc-get20",
    ] },
    Set { name: "sizes", what: "values from 16 bytes to 1 MiB, read and written", rows: &[
        "redis-get-16b", "redis-get", "redis-get-1k", "redis-get-16k", "redis-get-1m",
        "redis-set-16b", "redis-set", "redis-set-1k", "redis-set-16k", "redis-set-1m",
        "mc-get-16b", "mc-get", "mc-get-1k", "mc-get-16k", "mc-get-1m",
    ] },
    Set { name: "clients", what: "1 to 5,000 clients, and idle ones beside", rows: &[
        "redis-get-1", "redis-get", "redis-get-500", "redis-get-1000", "redis-get-5000", "redis-get-idle10000", "redis-connect",
        "mc-get-1", "mc-get", "mc-get-500", "mc-get-5000", "mc-connect",
    ] },
    Set { name: "pipelines", what: "1, 16 and 100 requests at once", rows: &[
        "redis-get", "redis-get-pipe16", "redis-get-pipe100", "redis-set", "redis-set-pipe16", "redis-set-pipe100",
        "redis-mix-pipe16", "redis-get-500-pipe16", "redis-get-1k-pipe16",
        "mc-get", "mc-get-pipe16", "mc-get-pipe100", "mc-mix-pipe16",
    ] },
    Set { name: "multi", what: "reads of 10, 20 and 100 keys", rows: &[
        "redis-mget10", "redis-mget20", "redis-mget100", "redis-mget20-1k", "redis-mget20-pipe16",
        "mc-get10", "mc-get20", "mc-get100",
    ] },
    Set { name: "latency", what: "for `--rate half`: where the time to a reply matters", rows: &[
        "redis-get", "redis-set", "redis-get-500", "redis-get-pipe16", "redis-mget20", "redis-get-16k", "mc-mix", "mc-mix-pipe16",
    ] },
];

/// The set of all scenarios that the first set leaves out.
pub(crate) const OTHERS: &str = "others";

fn others() -> Vec<&'static str> {
    let rows = SETS[1..].iter().flat_map(|set| set.rows).copied();
    rows.filter(|row| !SETS[0].rows.contains(row)).collect()
}

/// The scenarios of a set (the first one without), or those of `only`: comma-separated words, each a name of any scenario or the
/// beginning of names in the set. Redis comes first, so that each protocol's servers are started once.
///
/// # Errors
/// When there is no such set, or a word is no name and fits none.
pub(crate) fn select(set: Option<&str>, only: Option<&str>) -> Result<Vec<Scenario>> {
    let rows = match set {
        Some(OTHERS) => others(),
        Some("all") => SETS.iter().flat_map(|set| set.rows).copied().collect(),
        Some(name) => {
            let names = || SETS.iter().map(|set| set.name).collect::<Vec<_>>().join(", ");
            let found = SETS.iter().find(|set| set.name == name);
            found
                .with_context(|| format!("no set is called '{name}'; there are {}, {OTHERS}, all", names()))?
                .rows
                .to_vec()
        }
        None => SETS[0].rows.to_vec(),
    };
    let mut picked = Vec::new();
    match only {
        None => picked = rows.iter().map(|name| Scenario::parse(name)).collect::<Result<_>>()?,
        Some(only) => {
            for word in only.split(',') {
                picked.extend(fitting(&rows, word)?);
            }
        }
    }
    let mut scenarios: Vec<Scenario> = Vec::new();
    for scenario in picked {
        if !scenarios.contains(&scenario) {
            scenarios.push(scenario);
        }
    }
    scenarios.sort_by_key(|row| row.protocol != crate::scenario::Protocol::Redis);
    Ok(scenarios)
}

/// A full name means that scenario alone, even where other names go on from it.
fn fitting(rows: &[&str], word: &str) -> Result<Vec<Scenario>> {
    let wrong = match Scenario::parse(word) {
        Ok(scenario) => return Ok(vec![scenario]),
        Err(wrong) => wrong,
    };
    let begin: Vec<&&str> = rows.iter().filter(|name| !word.is_empty() && name.starts_with(word)).collect();
    if begin.is_empty() {
        bail!("no scenario is called or begins with '{word}' ({wrong:#}); there are: {}", rows.join(" "));
    }
    begin.into_iter().map(|name| Scenario::parse(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection() {
        let check = |set: Option<&str>, only: &str, expected: &[&str]| {
            let names: Vec<String> = select(set, Some(only)).unwrap().iter().map(Scenario::name).collect();
            assert_eq!(names, expected, "--only {only}");
        };
        check(None, "redis-get", &["redis-get"]);
        check(
            None,
            "redis-get-",
            &["redis-get-500", "redis-get-pipe16", "redis-get-16k", "redis-get-idle10000"],
        );
        check(None, "mc-mix,redis-set", &["redis-set", "mc-mix"]);
        check(None, "redis-set-p", &["redis-set-pipe16"]);
        check(None, "redis-get-1000,redis-get-c1000", &["redis-get-1000"]);
        check(None, "mc-get100-1k", &["mc-get100-1k"]);
        check(Some("multi"), "mc", &["mc-get10", "mc-get20", "mc-get100"]);
        assert_eq!(select(None, None).unwrap().len(), SETS[0].rows.len());
        assert!(select(None, Some("redis-get,nothing")).is_err());
        assert!(select(None, Some("")).is_err());
        assert!(select(Some("none"), None).unwrap_err().to_string().contains("main, sizes"));
    }

    #[test]
    fn rows_are_in_their_shortest_form_and_once_in_a_set() {
        for set in SETS {
            for (at, row) in set.rows.iter().enumerate() {
                assert_eq!(Scenario::parse(row).unwrap().name(), *row, "{}", set.name);
                assert!(!set.rows[..at].contains(row), "{row} twice in {}", set.name);
            }
        }
        let all = select(Some("all"), None).unwrap();
        let (main, others) = (select(None, None).unwrap(), select(Some(OTHERS), None).unwrap());
        assert_eq!(all.len(), main.len() + others.len());
        assert!(!main.iter().any(|it| others.contains(it)));
        assert!(SETS.iter().flat_map(|set| set.rows).all(|row| all.iter().any(|it| it.name() == *row)));
    }
}
