//! The file with the process id: decimal, no line end, as twemproxy writes it. Removed at every orderly end.

use std::io;
use std::path::{Path, PathBuf};

/// A written pid file.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    pub(crate) fn write(path: &Path) -> io::Result<PidFile> {
        std::fs::write(path, std::process::id().to_string())?;
        Ok(PidFile(path.to_path_buf()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody else may have removed it; then it is gone, which is what is wanted.
        _ = std::fs::remove_file(&self.0);
    }
}
