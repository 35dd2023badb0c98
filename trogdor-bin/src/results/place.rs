//! Files that are written once: whole or not at all, over nothing that is there. Whether that will be
//! possible is told beforehand, so that nobody measures for an hour and then has no place for it.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something is there already.
    #[error("{0} exists already; nothing is overwritten, name another place")]
    Exists(PathBuf),
    /// The system says no.
    #[error("{path} cannot be written: {error}")]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl PlaceError {
    fn of(path: &Path, error: io::Error) -> PlaceError {
        match error.kind() {
            ErrorKind::AlreadyExists => PlaceError::Exists(path.to_owned()),
            _ => PlaceError::NotWritable { path: path.to_owned(), error },
        }
    }
}

/// Whether a file can be written at a place later: nothing is there, and the folder, or the nearest one above it
/// that exists, takes files. It leaves nothing behind.
///
/// # Errors
/// It cannot.
pub fn check_free(place: &Path) -> Result<(), PlaceError> {
    if place.symlink_metadata().is_ok() {
        return Err(PlaceError::Exists(place.to_owned()));
    }
    let mut folder = folder_of(place);
    while folder.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        folder = folder_of(folder);
    }
    let probe = unfinished(folder);
    let tried = File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe));
    tried.map_err(|error| PlaceError::of(place, error))
}

/// Writes a file with the folders that are missing. What is there under its name at any moment is whole.
///
/// # Errors
/// Something is there already, or it cannot be written.
pub fn write_new(place: &Path, text: &[u8]) -> Result<(), PlaceError> {
    let folder = folder_of(place);
    let unfinished = unfinished(folder);
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| File::create_new(&unfinished))
        .and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()))
        // A link fails where something is.
        .and_then(|()| std::fs::hard_link(&unfinished, place));
    // It has its real name by now, or none that anybody wants.
    let _ = std::fs::remove_file(&unfinished);
    written.map_err(|error| PlaceError::of(place, error))
}

fn folder_of(place: &Path) -> &Path {
    match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        // The root is its own parent, and a bare name lies here.
        Some(_) => Path::new("."),
        None => place,
    }
}

fn unfinished(folder: &Path) -> PathBuf {
    folder.join(format!(".trogdor.{}", uuid::Uuid::new_v4()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_if_it_can_be_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let deep = folder.path().join("new/deep/file");
        for place in [&file, &deep] {
            check_free(place).unwrap();
            assert_eq!(
                std::fs::read_dir(&folder).unwrap().count(),
                usize::from(place == &deep),
                "nothing is left"
            );
            write_new(place, b"x").unwrap();
            assert!(matches!(check_free(place), Err(PlaceError::Exists(_))), "{place:?}");
            assert!(matches!(write_new(place, b"y"), Err(PlaceError::Exists(_))), "{place:?}");
            assert_eq!(std::fs::read(place).unwrap(), b"x");
        }
        let under_a_file = check_free(&file.join("below")).unwrap_err().to_string();
        assert!(
            under_a_file.ends_with("file/below cannot be written: Not a directory (os error 20)"),
            "{under_a_file}"
        );
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        assert!(matches!(check_free(&folder.path().join("dangling")), Err(PlaceError::Exists(_))));
        assert_eq!(
            check_free(Path::new("/proc/none"))
                .map_err(|error| matches!(error, PlaceError::NotWritable { .. })),
            Err(true)
        );
    }
}
