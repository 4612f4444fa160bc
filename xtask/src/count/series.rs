//! Cost per request must not grow with the proxy: with workers, servers, pools, clients, or idle clients beside.

use super::compare::changes;
use super::record::Row;
use std::fmt::Write as _;

/// Rows whose names are the first word and a number, and how much more than the first of them the others may cost.
const SERIES: [(&str, f64); 7] = [
    ("workers", 0.05),
    ("servers", 0.10),
    ("split", 0.10),
    ("snapshot", 0.10),
    ("pools", 0.10),
    ("clients", 0.10),
    ("idle", 0.10),
];

/// A sentence with its functions for each row that costs too much.
pub(super) fn check(rows: &[Row]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, share) in SERIES {
        let mut series = rows.iter().filter(|row| is_of(&row.name, name));
        let Some(first) = series.next() else {
            complaints.push(format!("{name}: there is no such series"));
            continue;
        };
        for row in series {
            let (small, large) = (cost(first), cost(row));
            if large <= small * (1.0 + share) {
                continue;
            }
            let mut text = format!(
                "{}: {large:.2} instructions per request, {:.1} % more than {} (at most {:.0} %)",
                row.name,
                (large / small - 1.0) * 100.0,
                first.name,
                share * 100.0
            );
            for (name, old, new) in changes(first, row, true) {
                _ = write!(text, "\n          {name}: {old} to {new:.2}");
            }
            complaints.push(text);
        }
    }
    complaints
}

/// Whether a row belongs to a series that began with an earlier one of `rows`.
pub(super) fn goes_on(name: &str, rows: &[Row]) -> bool {
    let series = SERIES
        .iter()
        .find_map(|(series, _)| rows.iter().find(|row| is_of(name, series) && is_of(&row.name, series)));
    series.is_some_and(|first| first.name != name)
}

fn is_of(name: &str, series: &str) -> bool {
    let number = name.strip_prefix(series).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

/// Instructions, wherever they were spent.
fn cost(row: &Row) -> f64 {
    row.figures.iter().take(2).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, program: f64, parts: &[(&str, f64)]) -> Row {
        let parts = parts.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect();
        Row { name: name.into(), figures: vec![program, 10.0, 0.0, 0.0], parts }
    }

    #[test]
    fn what_grows_is_named() {
        let mut rows: Vec<Row> = SERIES
            .iter()
            .flat_map(|(name, _)| ["1", "10"].map(|n| row(&format!("{name}-{n}"), 990.0, &[("a", 990.0)])))
            .collect();
        assert_eq!(check(&rows), [""; 0]);
        rows.push(row("servers-1000", 1085.0, &[("a", 1085.0)]));
        rows.push(row("mget20-servers-1000", 9999.0, &[]));
        assert_eq!(check(&rows), [""; 0], "9.5 % are few enough");
        rows.push(row("workers-8", 1085.0, &[("a", 1000.0), ("b", 85.0)]));
        let complaints = check(&rows);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        let expected =
            "workers-8: 1095.00 instructions per request, 9.5 % more than workers-1 (at most 5 %)\n";
        assert!(complaints[0].starts_with(expected), "{complaints:?}");
        assert!(complaints[0].contains("b: less than 9.90 to 85.00"), "{complaints:?}");
    }

    #[test]
    fn a_series_that_is_not_there_is_missed() {
        assert_eq!(check(&[]).len(), SERIES.len());
    }
}
