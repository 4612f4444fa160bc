//! The table of chosen differences: rows of `docs/twemproxy.md`.

/// One chosen difference.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// What, twemproxy, cashew, why.
    pub(crate) cells: Vec<&'static str>,
}

/// All rows (no cell holds a `|`), in the order of the page: `| id | what | twemproxy | cashew | why |`.
pub(crate) fn rows() -> Vec<Row> {
    PAGE.lines().filter_map(row).collect()
}

fn row(line: &'static str) -> Option<Row> {
    let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
    let (id, cells) = cells.split_first()?;
    // Heads and rules of tables have no id in code quotes.
    let id = id.strip_prefix('`')?.strip_suffix('`')?;
    Some(Row { id, cells: cells.to_vec() })
}

/// Fails unless the page has a row of that id: a test calls this where it shows that difference.
#[track_caller]
pub(crate) fn listed(id: &str) {
    assert!(rows().iter().any(|row| row.id == id), "docs/twemproxy.md has no row `{id}`");
}

/// The page for operators.
const PAGE: &str = include_str!("../../../../../docs/twemproxy.md");
