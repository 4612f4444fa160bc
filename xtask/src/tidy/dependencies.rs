//! Dependencies are named once, in the root's Cargo.toml, each with its reason.

use super::File;

pub(super) fn check(files: &[File]) -> Vec<String> {
    let manifests = files.iter().filter(|file| file.is("Cargo.toml") && !file.path.starts_with("fuzz/"));
    manifests
        .flat_map(|file| if file.path == "Cargo.toml" { reasons(file) } else { versions(file) })
        .collect()
}

/// Each dependency has its reason on its line; our own crates are explained in ARCHITECTURE.md.
fn reasons(file: &File) -> Vec<String> {
    rows(file)
        .filter(|(_, section, line)| {
            *section == "[workspace.dependencies]" && !line.contains("path = \"") && !line.contains("# ")
        })
        .map(|(number, _, line)| {
            let name = line.split([' ', '=']).next().unwrap_or_default();
            format!("{}:{number}: {name} has no reason: end its line with `# what for`", file.path)
        })
        .collect()
}

/// A crate's own manifest names no version.
fn versions(file: &File) -> Vec<String> {
    rows(file)
        .filter(|(_, section, line)| section.ends_with("dependencies]") && !line.contains("workspace = true"))
        .map(|(number, ..)| {
            let path = &file.path;
            format!("{path}:{number}: name the version in the root's Cargo.toml, and write `workspace = true` here")
        })
        .collect()
}

/// The lines `name = ...`, each with its number and section.
fn rows(file: &File) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut section = "";
    file.lines().filter_map(move |(number, line)| {
        if line.starts_with('[') {
            section = line.trim_end();
        }
        let named = line.starts_with(|c: char| c.is_ascii_alphanumeric());
        named.then_some((number, section, line))
    })
}
