//! One mistake in a configuration file: where it is and what is wrong, in an operator's words.

use std::fmt;
use std::path::Path;

/// A mistake in a configuration file.
///
/// Prints as `line 12: pool 'alpha': "timeout" must be …`; with [`Mistake::in_file`] the way compilers
/// print, `conf/x.yml:12: pool 'alpha': "timeout" must be …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}", self.sentence())]
pub struct Mistake {
    /// Line in the file, counted from 1.
    pub line: usize,
    /// Character in the line, counted from 1.
    pub column: usize,
    /// The pool it is in, if it is in one.
    pub pool: Option<String>,
    /// The key it is about; keys of the process section are written `cashew.threads`.
    pub key: Option<String>,
    /// What is wrong, as the rest of a sentence that starts with the key.
    pub reason: String,
}

impl Mistake {
    /// The mistake with the file's name before its line.
    pub fn in_file<'a>(&'a self, file: &'a Path) -> impl fmt::Display + 'a {
        InFile { mistake: self, file }
    }

    /// The mistake without its place.
    fn sentence(&self) -> String {
        let pool = self.pool.as_ref().map(|pool| format!("pool '{pool}': ")).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!("\"{key}\" ")).unwrap_or_default();
        format!("{pool}{key}{}", self.reason)
    }
}

/// A mistake and the file it was found in.
struct InFile<'a> {
    mistake: &'a Mistake,
    file: &'a Path,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.mistake.line, self.mistake.sentence())
    }
}
