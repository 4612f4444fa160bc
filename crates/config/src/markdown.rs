//! `docs/config.md`, written from the options table.

use std::fmt::Write;

use placement::{DistributionKind, HashKind};

use crate::options::{Kind, Origin, POOL, PROCESS, Row};
use crate::units::{Bytes, Millis};

/// The operator's page on the configuration file.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("## Pools\n\n");
    table(&mut page, POOL);
    page.push_str(AFTER_POOLS);
    page.push_str("## The process: `cashew:`\n\n");
    page.push_str(BEFORE_PROCESS);
    table(&mut page, PROCESS);
    page.push_str(MISTAKES);
    page
}

/// The keys of a pool for `--help`: name, unit and default, a line each.
pub fn help() -> String {
    let mut text = String::from("Keys of a pool in the configuration file (all of them: docs/config.md):\n");
    for row in POOL {
        let default = if row.default.is_empty() { "none" } else { row.default };
        let unit = if row.unit.is_empty() { String::new() } else { format!(", in {}", row.unit) };
        writeln!(text, "  {:20} : default {default}{unit}", row.name)
            .expect("writing to a String does not fail");
    }
    text + "\n"
}

fn table(page: &mut String, rows: &[Row]) {
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        let new = if row.origin == Origin::Cashew && row_is_of_pool(row) { " *(new)*" } else { "" };
        let default = if row.default.is_empty() { "none".to_owned() } else { format!("`{}`", row.default) };
        writeln!(page, "| `{}`{new} | {} | {default} | {} |", row.name, value(row), row.help)
            .expect("writing to a String does not fail");
    }
    page.push('\n');
}

fn row_is_of_pool(row: &Row) -> bool {
    POOL.iter().any(|pool_row| pool_row.name == row.name)
}

/// What may be written after the key.
fn value(row: &Row) -> String {
    let of_unit = if row.unit.is_empty() { String::new() } else { format!(" of {}", row.unit) };
    match row.kind {
        Kind::Listen => "address".to_owned(),
        Kind::Servers => "list".to_owned(),
        Kind::Hash => names(HashKind::ALL.iter().map(|hash| hash.name())),
        Kind::Distribution => names(DistributionKind::ALL.iter().map(|kind| kind.name())),
        Kind::HashTag => "two characters".to_owned(),
        Kind::OneOf(words) => names(words.iter().copied()),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Number { min, max } => format!("number{of_unit}, {min} to {max}"),
        Kind::NumberOr { word, min, max } => format!("number{of_unit}, {min} to {max}, or `{word}`"),
        Kind::Duration { min, max } => {
            format!("number{of_unit}, or with a unit (`30s`), {} to {}", Millis(min), Millis(max))
        }
        Kind::Size { min, max } => {
            format!("number{of_unit}, or with a unit (`64mb`), {} to {}", Bytes(min), Bytes(max))
        }
        Kind::Text => "text".to_owned(),
        Kind::Commands => "names of commands".to_owned(),
        Kind::Path => "path".to_owned(),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

const INTRODUCTION: &str = r#"<!-- Written by `cargo xtask gen` from crates/config/src/options.rs. Change it there. -->

# The configuration file

The file is twemproxy's (nutcracker's): a file that works there works here and means the same. Each top-level name
is a pool, its settings are indented below it.

```yaml
sessions:
  listen: 127.0.0.1:22121
  redis: true
  hash: murmur
  distribution: ketama
  timeout: 400
  servers:
  - 10.0.0.1:6379:1 alpha
  - 10.0.0.2:6379:1 beta
```

`cashew -t -c FILE` checks a file and prints every mistake in it with its line.

The file is a small part of YAML: one document of pools, `key: value` below each, and one list, `servers`. Comments
and quotes are fine; `[ ]`, `{ }`, `---`, anchors, tags and empty values are not, and tabs cannot indent.

"#;

const AFTER_POOLS: &str = r#"Plain numbers take no unit; the keys marked *(new)* are not twemproxy's, and those of them that are sizes take one:
`64mb`, `512kb`, `2gb`, with 1 kb = 1024 bytes. The hash `xxh3`, the distributions `maglev`, `jump` and
`rendezvous`, and `timeout: auto` are new as well. A file that uses none of these still works with twemproxy.

Which keys a server gets depends on the **names** of all servers in the pool and their weights, not on the order of
the lines. Name your servers and you can move one to another address without moving its keys.

"#;

const BEFORE_PROCESS: &str = r#"What twemproxy has only as flags may also be said in the file, in a section called `cashew`. A flag wins over the
file. The section has no servers; one that has a `listen` or `servers` key is taken for a pool of that name.

"#;

const MISTAKES: &str = r#"## Mistakes

All mistakes are reported at once, each as `FILE:LINE: pool 'POOL': "KEY" what is wrong`:

```
conf/x.yml:12: pool 'alpha': "timeout" must be a number of milliseconds, found "4x"
conf/x.yml:14: pool 'alpha': "auto_eject_host" is unknown; did you mean "auto_eject_hosts"?
```

Where twemproxy takes a number that does not fit 31 bits and quietly uses another, this is a mistake here.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_line_for_every_option() {
        let page = markdown();
        for row in POOL.iter().chain(PROCESS) {
            let lines = page.lines().filter(|line| line.starts_with(&format!("| `{}`", row.name)));
            assert_eq!(lines.count(), 1, "{}", row.name);
            assert!(
                !row.help.contains('|') && !row.help.contains('\n'),
                "{} would break the table",
                row.name
            );
        }
    }

    #[test]
    fn the_committed_page_is_current() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
        let committed = std::fs::read_to_string(committed).expect("docs/config.md is committed");
        assert!(committed == markdown(), "docs/config.md is old: run `cargo xtask gen`");
    }
}
