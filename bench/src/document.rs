//! `bench document`: writes docs/performance.md and its charts from saved results. What people wrote stays; what stands between
//!
//! ```text
//!   <!-- bench: NAME -->  and  <!-- /bench -->
//! ```
//!
//! is written anew. Which results it was made from stands in a line of its own, so that a test can make it again and see
//! that nothing differs.

mod block;
mod growth;

use crate::chart::Chart;
use crate::record::{Record, bench_dir};
use crate::relief::is_relief;
use crate::scenario::OTHERS;
use anyhow::{Context as _, Result, ensure};
use block::{BLOCKS, CHARTS};
use std::path::{Path, PathBuf};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// Saved results; those that the document was made from before when there are none.
    pub(crate) files: Vec<PathBuf>,
    /// A directory to write into instead of the project's docs.
    pub(crate) to: Option<PathBuf>,
}

/// Writes the document and its charts, and says where.
///
/// # Errors
/// When results cannot be read, the document lacks a marker, or a file cannot be written.
pub(crate) fn document(options: &Options) -> Result<()> {
    let docs = docs();
    let path = docs.join(NAME);
    let old = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let files = match options.files.as_slice() {
        [] => made_from(&old)?,
        files => files.iter().map(|file| shown(file)).collect::<Result<_>>()?,
    };
    let to = options.to.as_ref().unwrap_or(&docs);
    for (name, text) in make(&old, &files)? {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(to))?;
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The results that a document shows, each with its file from the root of the project.
#[derive(Debug)]
struct Sources(Vec<(String, Record)>);

impl Sources {
    fn load(files: &[String]) -> Result<Self> {
        let load = |file: &String| {
            let record = Record::load(&root().join(file))?;
            ensure!(
                record.rate.is_none(),
                "{file}: the document has no place for a rate of {:?}",
                record.rate
            );
            Ok((file.clone(), record))
        };
        files.iter().map(load).collect::<Result<_>>().map(Self)
    }

    fn all(&self) -> Vec<&Record> {
        self.0.iter().map(|(_, record)| record).collect()
    }

    /// Comparisons with clients that send as soon as they can.
    fn closed(&self) -> Vec<&Record> {
        let wanted = |record: &&Record| !record.half && !is_relief(record) && record.set != OTHERS;
        self.all().into_iter().filter(wanted).collect()
    }

    /// The same of loads that are not the main ones.
    fn others(&self) -> Vec<&Record> {
        self.all().into_iter().filter(|record| record.set == OTHERS).collect()
    }

    /// Comparisons at rates that all can carry.
    fn open(&self) -> Vec<&Record> {
        self.all().into_iter().filter(|record| record.half).collect()
    }

    /// What proxies take off a server.
    fn relief(&self) -> Option<&Record> {
        self.all().into_iter().rfind(|record| is_relief(record))
    }
}

/// Every file of the document with its text, from an older text and the results.
fn make(old: &str, files: &[String]) -> Result<Vec<(String, String)>> {
    let sources = Sources::load(files)?;
    ensure!(!sources.closed().is_empty(), "there must be a comparison in a closed loop among the results");
    let mut made = vec![(NAME.to_owned(), fill(old, &sources)?)];
    for (name, chart) in CHARTS {
        let chart: Option<Chart> = chart(&sources);
        made.extend(chart.map(|chart| (format!("charts/{name}.svg"), chart.svg())));
    }
    Ok(made)
}

/// Replaces what stands between the markers.
fn fill(old: &str, sources: &Sources) -> Result<String> {
    let mut text = String::new();
    let mut rest = old;
    let mut filled = Vec::new();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->").context("a marker without an end")?;
        let (_, after) = after.split_once(END).with_context(|| format!("'{name}' has no {END}"))?;
        let (_, block) = BLOCKS
            .iter()
            .find(|(it, _)| *it == name)
            .with_context(|| format!("no block is called '{name}'"))?;
        text.extend([before, BEGIN, name, " -->\n", &block(sources), END]);
        filled.push(name);
        rest = after;
    }
    text.push_str(rest);
    let missing: Vec<&str> =
        BLOCKS.iter().map(|(name, _)| *name).filter(|name| !filled.contains(name)).collect();
    ensure!(missing.is_empty(), "the document lacks the markers of {}", missing.join(", "));
    let line = text
        .lines()
        .find(|line| line.starts_with(MADE_FROM))
        .context("the document does not say what it is made from")?;
    let files: Vec<&str> = sources.0.iter().map(|(file, _)| file.as_str()).collect();
    let new = format!("{MADE_FROM}{} -->", files.join(" "));
    Ok(text.replacen(line, &new, 1))
}

/// The results that a document says it was made from.
fn made_from(text: &str) -> Result<Vec<String>> {
    let line = text.lines().find_map(|line| line.strip_prefix(MADE_FROM));
    let files = line
        .and_then(|line| line.strip_suffix(" -->"))
        .context("the document does not say what it is made from")?;
    Ok(files.split_whitespace().map(str::to_owned).collect())
}

/// A file's path from the root of the project, where it is inside.
fn shown(file: &Path) -> Result<String> {
    let root = root().canonicalize()?;
    let file = file.canonicalize().with_context(|| format!("no file {}", file.display()))?;
    let inside = file.strip_prefix(&root).unwrap_or(&file);
    Ok(inside.to_str().context("a path that is no text")?.to_owned())
}

fn root() -> PathBuf {
    bench_dir().join("..")
}

fn docs() -> PathBuf {
    root().join("docs")
}

const NAME: &str = "performance.md";
const BEGIN: &str = "<!-- bench: ";
const END: &str = "<!-- /bench -->";
const MADE_FROM: &str = "<!-- made from ";

#[cfg(test)]
mod tests;
