//! Links in Markdown that point into the project lead to a file or folder that is there.

use super::File;

pub(super) fn check(files: &[File]) -> Vec<String> {
    let there = |path: &str| {
        let folder = format!("{path}/");
        path.is_empty() || files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    };
    let mut mistakes = Vec::new();
    for file in files.iter().filter(|file| file.is(".md")) {
        for (number, target) in targets(&file.text) {
            if resolve(&file.path, &target).is_none_or(|path| !there(&path)) {
                mistakes.push(format!("{}:{number}: the link to `{target}` leads nowhere", file.path));
            }
        }
    }
    mistakes
}

/// Where the links lead that stay in the project, without `#anchor`, each with its line.
pub(super) fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every other piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for piece in prose.split("](").skip(1) {
            let target = piece.split([')', ' ', '#']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere {
                found.push((at + 1, target.to_owned()));
            }
        }
    }
    found
}

/// The path from the root that a link in the file `from` means; `None` if it leads out of the project.
pub(super) fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    (!target.starts_with('/')).then(|| parts.join("/"))
}
