//! The table: a row per situation and proxy, as Markdown that also reads well in a terminal.

use crate::memory::{MemoryRecord, Row};
use crate::report::{grouped, table};
use std::fmt::Write as _;

/// The whole report: where, what the situations are, the table, what else was seen.
pub(crate) fn render(record: &MemoryRecord) -> String {
    let machine = &record.machine;
    let versions: Vec<String> = record.versions.iter().map(|(name, it)| format!("{name}: {it}")).collect();
    let mut text = format!(
        "{}; {}, {} cores, {} MiB, Linux {}, load {}\n{}\n\n",
        record.date,
        machine.cpu,
        machine.cores,
        machine.memory_bytes >> 20,
        machine.kernel,
        machine.load_average,
        versions.join("; "),
    );
    text.push_str(&table(&rows(record)));
    text.push('\n');
    let mut last = "";
    for row in &record.rows {
        if row.situation != last {
            last = &row.situation;
            line(&mut text, &format!("- {}: {}", row.situation, row.what));
        }
        let failed = row.failure.iter().map(|failure| format!("FAILED: {failure}"));
        for said in failed.chain(row.remarks.iter().cloned()).chain(trouble(row)) {
            line(&mut text, &format!("  - {}: {said}", row.proxy));
        }
    }
    record.notes.iter().for_each(|note| line(&mut text, &format!("- {note}")));
    text
}

/// What the other client has to complain about.
fn trouble(row: &Row) -> Vec<String> {
    let Some(seen) = &row.neighbour else { return Vec::new() };
    let errors = seen
        .first_error
        .iter()
        .map(|first| format!("error replies to another client: {}, the first {first}", grouped(seen.errors)));
    let failure = seen.failure.iter().map(|failure| format!("another client stopped: {failure}"));
    errors.chain(failure).collect()
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes all");
}

/// One row per column of the table: its title and how its cell is made.
type Column = (&'static str, fn(&Row) -> Option<String>);

#[rustfmt::skip] // a table: one row, one line
const COLUMNS: [Column; 10] = [
    ("clients", |it| Some(grouped(it.clients))),
    ("before MiB", |it| Some(mib(it.base_bytes))),
    ("peak MiB", |it| Some(mib(it.peak_bytes))),
    ("peak - before", |it| Some(mib(it.peak_bytes.saturating_sub(it.base_bytes)))),
    ("held MiB", |it| it.held_bytes.map(mib)),
    ("held per client, bytes", |it| per_client(it).map(grouped)),
    ("after MiB", |it| it.after_bytes.map(mib)),
    ("servers MiB", |it| Some(mib(it.servers_bytes))),
    ("others' requests", |it| it.neighbour.as_ref().map(|seen| grouped(seen.requests))),
    ("slowest ms", |it| it.neighbour.as_ref().map(|seen| format!("{:.1}", seen.slowest_us as f64 / 1e3))),
];

fn rows(record: &MemoryRecord) -> Vec<Vec<String>> {
    let titles = ["situation", "proxy"].into_iter().chain(COLUMNS.map(|(title, _)| title));
    let mut rows: Vec<Vec<String>> = vec![titles.map(str::to_owned).collect()];
    for row in &record.rows {
        let cells = COLUMNS.map(|(_, cell)| cell(row).unwrap_or("-".to_owned()));
        let failed = if row.failure.is_some() { " (failed)" } else { "" };
        let names = [row.situation.clone(), format!("{}{failed}", row.proxy)];
        rows.push(names.into_iter().chain(cells).collect());
    }
    rows
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1_048_576.0)
}

/// What each client costs while it is there; one alone says nothing.
fn per_client(row: &Row) -> Option<u64> {
    let held = row.held_bytes?.saturating_sub(row.base_bytes);
    (row.clients > 1).then(|| held / row.clients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::memory::neighbour::Seen;
    use std::collections::BTreeMap;

    #[test]
    fn rows_and_what_went_wrong() {
        let idle = Row {
            situation: "idle".to_owned(),
            what: "many clients".to_owned(),
            proxy: "cashew".to_owned(),
            clients: 1_000,
            base_bytes: 4 << 20,
            peak_bytes: 6 << 20,
            servers_bytes: 3 << 20,
            held_bytes: Some(5 << 20),
            after_bytes: Some(4 << 20),
            ..Row::default()
        };
        let seen = Seen {
            requests: 1_234,
            errors: 2,
            first_error: Some("-ERR timed out".to_owned()),
            slowest_us: 2_500,
            failure: Some("no reply".to_owned()),
        };
        let failed = Row {
            proxy: "nutcracker".to_owned(),
            held_bytes: None,
            after_bytes: None,
            failure: Some("stopped: it took more".to_owned()),
            neighbour: Some(seen),
            ..idle.clone()
        };
        let record = MemoryRecord {
            date: "2026-01-31T00:00:00Z".to_owned(),
            machine: Machine::describe(),
            versions: BTreeMap::new(),
            notes: vec!["a note".to_owned()],
            rows: vec![idle, failed],
        };
        let text = render(&record);
        let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "| idle | cashew | 1,000 | 4.0 | 6.0 | 2.0 | 5.0 | 1,048 | 4.0 | 3.0 | - | - |",
            "| idle | nutcracker (failed) | 1,000 | 4.0 | 6.0 | 2.0 | - | - | - | 3.0 | 1,234 | 2.5 |",
            "- idle: many clients - nutcracker: FAILED: stopped: it took more",
            "error replies to another client: 2, the first -ERR timed out",
            "another client stopped: no reply",
            "- a note",
        ] {
            assert!(squeezed.contains(part), "{text}");
        }
        assert_eq!(text.matches("many clients").count(), 1, "{text}");
    }
}
