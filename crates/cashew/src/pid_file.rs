//! The file with the process id: decimal, no line end, as twemproxy writes it. Removed at every orderly end.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A written pid file.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    pub(crate) fn write(path: &Path) -> io::Result<PidFile> {
        // The mode is said because the mask of a process in the background is empty.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(PidFile(path.to_path_buf()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody else may have removed it; then it is gone, which is what is wanted.
        _ = std::fs::remove_file(&self.0);
    }
}
