//! What a request costs where there is more of everything, from the counts that are kept in `counts.txt`.

use crate::record::bench_dir;
use crate::report::{grouped, table_with};

/// A series of counted scenarios: what its names begin with, and what grows along it.
#[rustfmt::skip] // a table: one row, one line
const SERIES: &[(&str, &str)] = &[
    ("workers", "worker threads, 50 clients each"),
    ("servers", "servers of a pool"),
    ("split", "servers of a pool, MGET of 20 keys on 10 of them"),
    ("pools", "pools"),
    ("clients", "clients"),
    ("idle", "idle clients beside 50 others"),
    ("snapshot", "servers of a pool, one of which changes: for each worker"),
];

/// The table of all series that were counted.
pub(super) fn growth() -> String {
    let counts = std::fs::read_to_string(bench_dir().join("counts.txt")).unwrap_or_default();
    let titles = ["what grows", "how many", "instructions", "most above the first"];
    let rows = SERIES.iter().filter_map(|(begin, what)| {
        let counted = series(&counts, begin);
        let (_, first) = *counted.first()?;
        let most = counted.iter().map(|(_, cost)| cost / first - 1.0).fold(0.0, f64::max);
        let all = |figure: fn(&(u64, f64)) -> u64| {
            counted.iter().map(|it| grouped(figure(it))).collect::<Vec<_>>().join(" / ")
        };
        let cells = [all(|it| it.0), all(|it| it.1.round() as u64), format!("{:.1} %", most * 100.0)];
        Some(std::iter::once((*what).to_owned()).chain(cells).collect())
    });
    let titles = titles.map(str::to_owned).to_vec();
    table_with(&std::iter::once(titles).chain(rows).collect::<Vec<Vec<String>>>(), 1)
}

/// The sizes of a series and what was counted at each, as in `servers-100  2219.52 ...`.
fn series(counts: &str, begin: &str) -> Vec<(u64, f64)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let size = words.next()?.strip_prefix(begin)?.strip_prefix('-')?.parse().ok()?;
        Some((size, words.next()?.parse().ok()?))
    };
    counts.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_what_has_its_name_and_a_size() {
        let counts = "servers-1  100.50 3 0 0\n    99.1 3 % servers-7\nmget20-servers-9 5 1\nservers-10\t120 3\nservers-x 1\n";
        assert_eq!(series(counts, "servers"), [(1, 100.5), (10, 120.0)]);
    }

    #[test]
    fn every_series_is_counted() {
        assert_eq!(growth().lines().count(), SERIES.len() + 2);
    }
}
