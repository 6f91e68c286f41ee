//! A data folder that is there whole, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RestoreError;

/// A folder that is being filled beside the one that it will be; gone again unless it was finished.
pub struct Draft {
    path: PathBuf,
    wanted: PathBuf,
    finished: bool,
}

impl Draft {
    /// Refuses where there is something already.
    pub fn begin(wanted: &Path) -> Result<Self, RestoreError> {
        let failed = |source| RestoreError::Write { path: wanted.to_owned(), source };
        match fs::read_dir(wanted).map(|mut names| names.next().is_some()) {
            Ok(false) => {}
            Ok(true) => return Err(RestoreError::Exists(wanted.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut name = wanted.file_name().unwrap_or_default().to_owned();
        name.push(".restoring");
        let path = wanted.with_file_name(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&path).map_err(failed)?;
        Ok(Self { path, wanted: wanted.to_owned(), finished: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place, durably.
    pub fn finish(mut self) -> Result<(), RestoreError> {
        let failed = |source| RestoreError::Write { path: self.wanted.clone(), source };
        fs::File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(failed)?;
        fs::rename(&self.path, &self.wanted).map_err(failed)?;
        self.finished = true;
        let parent = self.wanted.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = fs::File::open(parent.unwrap_or(Path::new(".")));
        parent.and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            // It may not have come to exist; the next attempt removes what is left.
            let _left = fs::remove_dir_all(&self.path);
        }
    }
}
