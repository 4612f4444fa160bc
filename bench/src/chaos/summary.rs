//! The table: a row per fault and kind of pool, the proxies side by side in each cell.

use crate::chaos::tally::Outcome;
use crate::chaos::{ChaosRecord, POOLS, Run};
use crate::report::{grouped, table};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The whole report.
pub(crate) fn render(record: &ChaosRecord) -> String {
    let machine = &record.machine;
    let versions: Vec<String> = record.versions.iter().map(|(name, it)| format!("{name}: {it}")).collect();
    let names: Vec<&str> = record.runs.iter().map(|run| run.proxy.as_str()).collect();
    let mut text = format!(
        "{}; seed {}; cashew with {} thread(s); {}, {} cores, Linux {}, load {}\n{}\n\nEach cell: {}\n\n",
        record.date,
        record.seed,
        record.threads,
        machine.cpu,
        machine.cores,
        machine.kernel,
        machine.load_average,
        versions.join("; "),
        names.join(" / "),
    );
    text.push_str(&table(&rows(record)));
    text.push_str("\nErrors that clients read, all faults together:\n\n");
    text.push_str(&table(&error_rows(record)));
    text.push('\n');
    for run in &record.runs {
        let ((fds, fds_after), (rss, rss_after)) = (run.descriptors, run.rss_kib);
        let name = &run.proxy;
        line(
            &mut text,
            &format!(
                "- {name}: descriptors {fds} before, {fds_after} after; RSS {rss} KiB before, {rss_after} after"
            ),
        );
        if let Some(why) = &run.ended {
            line(&mut text, &format!("- ENDED: {name}: {why}"));
        }
        for fault in &run.faults {
            let pools =
                fault.pools.iter().flat_map(|(pool, it)| it.wrong_shown.iter().map(move |what| (pool, what)));
            pools.for_each(|(pool, what)| {
                line(&mut text, &format!("- WRONG: {name}, {}, {pool}: {what}", fault.fault))
            });
        }
    }
    record.notes.iter().for_each(|note| line(&mut text, &format!("- {note}")));
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes all");
}

/// One row per column of the table: its title and how its cell is made.
type Column = (&'static str, fn(&Outcome) -> String);

#[rustfmt::skip] // a table: one row, one line
const COLUMNS: [Column; 9] = [
    ("requests", |it| grouped(it.requests)),
    ("errors", |it| grouped(it.error_count())),
    ("errors elsewhere", |it| grouped(it.errors_elsewhere)),
    ("closed", |it| grouped(it.closed)),
    ("hung", |it| grouped(it.hung)),
    ("wrong", |it| grouped(it.wrong)),
    ("gap ms", |it| it.gap_ms.map_or("-".to_owned(), grouped)),
    ("gap elsewhere ms", |it| grouped(it.gap_elsewhere_ms)),
    ("well after ms", |it| it.back_ms.map_or("never".to_owned(), grouped)),
];

fn rows(record: &ChaosRecord) -> Vec<Vec<String>> {
    let titles = ["fault", "pools"].into_iter().chain(COLUMNS.map(|(title, _)| title));
    let mut rows: Vec<Vec<String>> = vec![titles.map(str::to_owned).collect()];
    let count = record.runs.iter().map(|run| run.faults.len()).max().unwrap_or(0);
    for number in 0..count {
        let Some(fault) = record.runs.iter().find_map(|run| run.faults.get(number)) else { continue };
        for ejects in [false, true] {
            let name =
                format!("{}{}", fault.fault, fault.server.map_or(String::new(), |it| format!(" ({it})")));
            let each: Vec<Option<Outcome>> =
                record.runs.iter().map(|run| outcome(run, number, ejects)).collect();
            rows.push(row(name, kind(ejects), &each));
        }
    }
    for ejects in [false, true] {
        let each: Vec<Option<Outcome>> = record
            .runs
            .iter()
            .map(|run| {
                (0..run.faults.len())
                    .filter_map(|it| outcome(run, it, ejects))
                    .reduce(|sum, it| sum.plus(&it))
            })
            .collect();
        rows.push(row("all, or the worst".to_owned(), kind(ejects), &each));
    }
    rows
}

fn kind(ejects: bool) -> &'static str {
    if ejects { "eject" } else { "keep" }
}

fn row(name: String, kind: &str, each: &[Option<Outcome>]) -> Vec<String> {
    let cell = |show: fn(&Outcome) -> String| {
        let parts: Vec<String> = each.iter().map(|it| it.as_ref().map_or("-".to_owned(), show)).collect();
        parts.join(" / ")
    };
    [name, kind.to_owned()].into_iter().chain(COLUMNS.map(|(_, show)| cell(show))).collect()
}

/// Both protocols' pools of a kind together.
fn outcome(run: &Run, number: usize, ejects: bool) -> Option<Outcome> {
    let fault = run.faults.get(number)?;
    let pools =
        POOLS.iter().filter(|pool| pool.ejects == ejects).filter_map(|pool| fault.pools.get(pool.name));
    pools.cloned().reduce(|sum, it| sum.plus(&it))
}

fn error_rows(record: &ChaosRecord) -> Vec<Vec<String>> {
    let mut counts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (at, run) in record.runs.iter().enumerate() {
        for outcome in run.faults.iter().flat_map(|fault| fault.pools.values()) {
            for (text, count) in &outcome.errors {
                counts.entry(text).or_insert_with(|| vec![0; record.runs.len()])[at] += count;
            }
        }
    }
    let titles = ["error", ""].into_iter().chain(record.runs.iter().map(|run| run.proxy.as_str()));
    let mut rows: Vec<Vec<String>> = vec![titles.map(str::to_owned).collect()];
    for (text, counts) in counts {
        let cells = counts.into_iter().map(grouped);
        rows.push([text.to_owned(), String::new()].into_iter().chain(cells).collect());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::FaultRecord;
    use crate::machine::Machine;

    fn run(proxy: &str, wrong: u64) -> Run {
        let outcome = Outcome {
            requests: 1_500,
            errors: [("-ERR x".to_owned(), 2)].into(),
            wrong,
            wrong_shown: (0..wrong).map(|_| "k has the value 'j'".to_owned()).collect(),
            gap_ms: Some(40),
            back_ms: Some(7),
            ..Outcome::default()
        };
        let pools = POOLS.map(|pool| (pool.name.to_owned(), outcome.clone())).into();
        let fault = FaultRecord { fault: "kill".to_owned(), server: Some(2), pools };
        Run { proxy: proxy.to_owned(), faults: vec![fault], ..Run::default() }
    }

    #[test]
    fn side_by_side() {
        let mut record = ChaosRecord {
            date: "2026-01-31T00:00:00Z".to_owned(),
            seed: 7,
            threads: 1,
            machine: Machine::describe(),
            versions: BTreeMap::new(),
            notes: Vec::new(),
            runs: vec![run("cashew", 0), run("nutcracker", 1)],
        };
        let text = render(&record);
        let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "| kill (2) | keep | 3,000 / 3,000 | 4 / 4 | 0 / 0 | 0 / 0 | 0 / 0 | 0 / 2 | 40 / 40 | 0 / 0 | 7 / 7 |",
            "| -ERR x | | 8 | 8 |",
            "WRONG: nutcracker, kill, redis_keep: k has the value 'j'",
        ] {
            assert!(squeezed.contains(part), "{text}");
        }
        assert!(!record.failed(), "the other proxy's wrong replies are its own");
        record.runs[0].faults[0].pools.values_mut().for_each(|it| it.wrong = 1);
        assert!(record.failed());
    }
}
