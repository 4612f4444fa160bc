//! The two tables behind the redis commands, joined: what servers say, and what we make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// A command or subcommand.
pub(crate) struct Row {
    /// `CONFIG`, or `CONFIG GET`.
    pub(crate) name: String,
    /// The columns of redis-commands.csv, by name.
    columns: BTreeMap<String, String>,
    pub(crate) route: Route,
    /// Why it is not taken, or what to know about how it is routed.
    pub(crate) note: String,
}

/// The route column of redis-routes.csv; the inner texts are variants of the engine's enums.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Route {
    ByKey,
    Split(String),
    Fanout(String),
    Local(String),
    Session(String),
    Walk(String),
    Pubsub(String),
    NotYet,
    Refused,
}

impl Row {
    /// A column of redis-commands.csv.
    pub(crate) fn get(&self, column: &str) -> &str {
        self.columns.get(column).map_or("", String::as_str)
    }

    /// A column that is a list.
    pub(crate) fn list(&self, column: &str) -> impl Iterator<Item = &str> {
        self.get(column).split('|').filter(|word| !word.is_empty())
    }

    /// The word that is looked up: the last of the name.
    pub(crate) fn word(&self) -> &str {
        self.name.rsplit(' ').next().unwrap_or(&self.name)
    }

    /// The container this is a subcommand of.
    pub(crate) fn container(&self) -> Option<&str> {
        self.name.split_once(' ').map(|(container, _)| container)
    }
}

/// Reads and joins both tables, commands sorted, each followed by its subcommands.
pub(crate) fn read(commands: &Path, routes: &Path) -> anyhow::Result<Vec<Row>> {
    let mut routes = Routes::read(routes)?;
    let mut rows = Vec::new();
    let mut names = BTreeSet::new();
    for columns in records(commands)? {
        let name = [columns["command"].as_str(), columns["subcommand"].as_str()].join(" ").trim().to_owned();
        ensure!(names.insert(name.clone()), "{name} is there twice");
        rows.push(Row { name, columns, route: Route::Refused, note: String::new() });
    }
    // A space sorts before letters, dots and dashes, so subcommands follow their container.
    rows.sort_by(|a, b| a.name.split(' ').cmp(b.name.split(' ')));
    let containers: BTreeSet<String> =
        rows.iter().filter_map(|row| row.container().map(str::to_owned)).collect();
    for row in &mut rows {
        (row.route, row.note) =
            routes.of(&row.name, row.get("routing_class"), containers.contains(&row.name))?;
    }
    ensure!(containers.iter().all(|name| names.contains(name)), "a subcommand lacks its container");
    routes.all_used()?;
    Ok(rows)
}

/// redis-routes.csv: by full name, by container (`CLUSTER *`) or by routing class (`@pubsub`).
struct Routes {
    rows: BTreeMap<String, (Route, String)>,
    used: BTreeSet<String>,
}

impl Routes {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut rows = BTreeMap::new();
        for record in records(path)? {
            let (name, note) = (record["command"].clone(), record["note"].clone());
            let route = route(&record["route"]).with_context(|| name.clone())?;
            if matches!(route, Route::NotYet | Route::Refused) {
                ensure!(!note.is_empty(), "{name} is not taken and does not say why");
            }
            ensure!(rows.insert(name.clone(), (route, note)).is_none(), "{name} is routed twice");
        }
        Ok(Self { rows, used: BTreeSet::new() })
    }

    fn of(&mut self, name: &str, class: &str, is_container: bool) -> anyhow::Result<(Route, String)> {
        let container = name.split(' ').next().unwrap_or(name);
        for key in [name.to_owned(), format!("{container} *"), format!("@{class}")] {
            if let Some(found) = self.rows.get(&key) {
                self.used.insert(key);
                return Ok(found.clone());
            }
        }
        // A container alone never gets as far as its route: its arity asks for a subcommand.
        ensure!(is_container, "{name}: no row in redis-routes.csv says how to route it");
        Ok((Route::Refused, "it needs a subcommand".to_owned()))
    }

    fn all_used(&self) -> anyhow::Result<()> {
        match self.rows.keys().find(|key| !self.used.contains(*key)) {
            Some(key) => bail!("redis-routes.csv: {key} routes no command"),
            None => Ok(()),
        }
    }
}

fn route(text: &str) -> anyhow::Result<Route> {
    Ok(match text.split_once(':') {
        None if text == "by_key" => Route::ByKey,
        None if text == "not_yet" => Route::NotYet,
        None if text == "refused" => Route::Refused,
        Some(("split", how)) => Route::Split(how.to_owned()),
        Some(("fanout", how)) => Route::Fanout(how.to_owned()),
        Some(("local", what)) => Route::Local(what.to_owned()),
        Some(("session", what)) => Route::Session(what.to_owned()),
        Some(("walk", what)) => Route::Walk(what.to_owned()),
        Some(("pubsub", what)) => Route::Pubsub(what.to_owned()),
        _ => bail!("unknown route {text}"),
    })
}

/// The records of a table by column name.
fn records(path: &Path) -> anyhow::Result<Vec<BTreeMap<String, String>>> {
    let context = || path.display().to_string();
    let mut reader = csv::Reader::from_path(path).with_context(context)?;
    reader.deserialize().collect::<Result<_, _>>().with_context(context)
}
