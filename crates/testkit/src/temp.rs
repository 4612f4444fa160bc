//! A directory that lives as long as a test.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own under the system's temporary one, removed with all it holds on drop.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes one; `label` shows up in its name.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn new(label: &str) -> io::Result<TempDir> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("testkit-{label}-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(TempDir { path }),
                // Left behind by a killed process that had our id: take the next number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it and says where.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_gone_with_its_files_after_drop() {
        let dir = TempDir::new("drop").expect("made");
        let file = dir.file("a", "text").expect("written");
        assert_eq!(std::fs::read(&file).expect("read"), b"text");
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn two_do_not_meet() {
        let (a, b) = (TempDir::new("x").expect("made"), TempDir::new("x").expect("made"));
        assert_ne!(a.path(), b.path());
    }
}
