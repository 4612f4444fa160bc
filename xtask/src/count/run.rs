//! Builds the work that is counted (`crates/worker/benches/count`) and runs it below callgrind.

use super::callgrind;
use super::record::Row;
use crate::root;
use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Counts every scenario.
pub(super) fn count() -> anyhow::Result<Vec<Row>> {
    let program = build(&["build", "--release", "--package", "worker", "--bench", "count"])?;
    let folder = Folder::new()?;
    // Two halves at once: callgrind keeps one processor busy.
    let halves = ["sockets", "bare"].map(|kind| start(&program, kind, &folder.0));
    let mut rows = Vec::new();
    for (kind, half) in ["sockets", "bare"].iter().zip(halves) {
        let ended = half?.wait_with_output().context("valgrind")?;
        ensure!(
            ended.status.success(),
            "{kind}: {}\n{}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
        let said = String::from_utf8(ended.stdout).context("names are plain text")?;
        rows.extend(read(&said, &program, &folder.0, kind)?);
    }
    Ok(rows)
}

/// Builds with cargo and says where the program is.
pub(super) fn build(args: &[&str]) -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(built.status.success(), "cargo {}: {}", args.join(" "), built.status);
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next_back().context("cargo named no program")
}

fn start(program: &Path, kind: &str, folder: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new("timeout");
    command
        .args([&LONGEST_SECONDS.to_string(), "valgrind", "--tool=callgrind", "--quiet"])
        .args(["--toggle-collect=count::counted*", "--dump-after=count::measured*", "--collect-systime=yes"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", folder.join(kind).display()))
        .arg(program)
        .arg(kind);
    // The environment lies on the stack, and where things lie decides how they are copied.
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("timeout cannot be run")
}

/// The program says a line per file that callgrind wrote: which scenario, how many requests. Of several runs of a
/// scenario the last counts; those before warm up.
fn read(said: &str, program: &Path, folder: &Path, kind: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut lines = said.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let (name, requests) = line.split_once(' ').with_context(|| format!("'{line}' is no scenario"))?;
        if lines.peek().is_some_and(|(_, next)| next.split(' ').next() == Some(name)) {
            continue;
        }
        let file = folder.join(format!("{kind}.{}", at + 1));
        let text = std::fs::read_to_string(&file).with_context(|| format!("{} of {name}", file.display()))?;
        let profile = callgrind::parse(&text, &program.to_string_lossy())
            .with_context(|| format!("{}: not as callgrind should have written it", file.display()))?;
        rows.push(row(name, profile, requests.parse()?));
    }
    if rows.is_empty() {
        bail!("no {kind} were counted");
    }
    Ok(rows)
}

fn row(name: &str, profile: callgrind::Profile, requests: f64) -> Row {
    let sum = |parts: &std::collections::BTreeMap<String, u64>| parts.values().sum::<u64>() as f64 / requests;
    let figures = vec![
        sum(&profile.program),
        sum(&profile.libraries),
        profile.calls as f64 / requests,
        profile.allocations as f64 / requests,
    ];
    let program = profile.program.into_iter();
    let libraries = profile.libraries.into_iter().map(|(name, cost)| (format!("libc: {name}"), cost));
    let mut parts: Vec<(String, f64)> =
        program.chain(libraries).map(|(name, cost)| (name, cost as f64 / requests)).collect();
    parts.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    Row { name: name.to_owned(), figures, parts }
}

/// For what callgrind writes; removed when dropped.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("cashew-xtask-count-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it does no harm.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A proxy that loses a reply would wait for ever.
const LONGEST_SECONDS: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn figures_are_per_request() {
        let of = |rows: &[(&str, u64)]| -> BTreeMap<String, u64> {
            rows.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect()
        };
        let profile = callgrind::Profile {
            program: of(&[("small", 100), ("large", 3000)]),
            libraries: of(&[("memcpy", 200)]),
            calls: 60,
            allocations: 5,
        };
        let counted = row("get", profile, 10.0);
        assert_eq!(counted.figures, [310.0, 20.0, 6.0, 0.5]);
        let names: Vec<&str> = counted.parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["large", "libc: memcpy", "small"]);
    }
}
