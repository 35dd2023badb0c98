//! The coordinator's state in a file of redb: records of JSON by key, the format's number, and the term.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use trogdor_core::Term;
use trogdor_core::coordinator::{Change, SavedRecord, State, Store};

const FILE: &str = "coordinator.redb";
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
const NUMBERS: TableDefinition<&str, i64> = TableDefinition::new("numbers");
/// The format of the records, which grows when an older program could not read them.
const FORMAT: (&str, i64) = ("format", 1);
const TERM: &str = "term";
/// Memory for the pages of the file. Nothing is read but at the start, and each commit touches few of them.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The database at this path; a new one where there is none.
fn database(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

/// Opens the state in a folder, which is made if it is not there, and begins a new term.
///
/// # Errors
/// The state is in use, damaged, or of a newer program; it is left as it was.
pub fn open(dir: &Path, now_ms: i64) -> Result<State, String> {
    make_dir(dir)?;
    let path = dir.join(FILE);
    // Opening mends a file that was not closed, and must not make anything of one that cannot be mended.
    let copy = copy_of(&path, now_ms)?;
    let opened = read(&path, now_ms);
    match (&opened, copy) {
        (Err(Trouble::Damaged(why)), Some(copy)) => {
            let (path, copy) = (path.display(), copy.display());
            return Err(format!(
                "the state {path} is damaged ({why}); {copy} is a copy of it as it was found. Put a backup in its place, \
                 or move it away to begin with no tasks"
            ));
        }
        // Not needed; one that stays does no harm.
        (_, Some(copy)) => drop(fs::remove_file(copy)),
        (_, None) => {}
    }
    match opened {
        Ok((database, records, term)) => {
            let store = Box::new(RedbStore { path, database: Some(database) });
            Ok(State { store, records, term })
        }
        Err(Trouble::Damaged(why) | Trouble::Other(why)) => {
            Err(format!("the state {}: {why}", path.display()))
        }
    }
}

enum Trouble {
    Damaged(String),
    Other(String),
}

fn make_dir(dir: &Path) -> Result<(), String> {
    // Specs can hold secrets.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| format!("cannot make the state directory {}: {error}", dir.display()))
}

/// A copy of the file as it is found, if it is there.
fn copy_of(path: &Path, now_ms: i64) -> Result<Option<PathBuf>, String> {
    let copy = path.with_extension(format!("redb.damaged-{now_ms}"));
    match fs::copy(path, &copy) {
        Ok(_) => Ok(Some(copy)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot copy the state {} before it is opened: {error}", path.display())),
    }
}

/// Whether what is there does not read as a file of redb.
fn is_no_database(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

type Read = (Database, Vec<SavedRecord>, Term);

fn read(path: &Path, now_ms: i64) -> Result<Read, Trouble> {
    // An empty file would be taken for a new one.
    if fs::metadata(path).is_ok_and(|data| data.len() == 0) {
        return Err(Trouble::Damaged("it is empty".to_owned()));
    }
    let is_new = !path.exists();
    let database = database(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => {
            Trouble::Other("another coordinator uses it; end that one, or use another --state-dir".to_owned())
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) if !is_no_database(&error) => {
            Trouble::Other(format!("cannot be opened: {error}"))
        }
        error => Trouble::Damaged(error.to_string()),
    })?;
    // Whatever the directory lets others do: specs can hold secrets.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|error| Trouble::Other(format!("cannot be kept from others: {error}")))?;
    let damaged = |error: redb::Error| Trouble::Damaged(error.to_string());
    let (records, last_term) =
        if is_new { (Vec::new(), None) } else { contents(&database).map_err(damaged)? };
    let last_term = match last_term {
        Some((format, _)) if format > FORMAT.1 => {
            return Err(Trouble::Other(format!(
                "was written by a newer trogdor (format {format}, this one reads {}); use that one, or another --state-dir",
                FORMAT.1
            )));
        }
        Some((_, term)) => term,
        None => i64::MIN,
    };
    let term = now_ms.max(last_term.saturating_add(1));
    begin(&database, term).map_err(|error| Trouble::Other(format!("cannot be written: {error}")))?;
    Ok((database, records, Term(term)))
}

/// The records, and format and term.
fn contents(database: &Database) -> Result<(Vec<SavedRecord>, Option<(i64, i64)>), redb::Error> {
    let read = database.begin_read()?;
    let numbers = match read.open_table(NUMBERS) {
        // It was made, and its maker ended before it wrote anything.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((Vec::new(), None)),
        numbers => numbers?,
    };
    let number = |key| Ok::<_, redb::Error>(numbers.get(key)?.map_or(0, |value| value.value()));
    let (format, term) = (number(FORMAT.0)?, number(TERM)?);
    if format > FORMAT.1 {
        return Ok((Vec::new(), Some((format, term))));
    }
    let mut records = Vec::new();
    for record in read.open_table(RECORDS)?.iter()? {
        let (key, value) = record?;
        records.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok((records, Some((format, term))))
}

fn begin(database: &Database, term: i64) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut numbers = write.open_table(NUMBERS)?;
        numbers.insert(FORMAT.0, FORMAT.1)?;
        numbers.insert(TERM, term)?;
        write.open_table(RECORDS)?;
    }
    Ok(write.commit()?)
}

#[derive(Debug)]
struct RedbStore {
    path: PathBuf,
    /// None after a failure: it has to be opened again.
    database: Option<Database>,
}

impl Store for RedbStore {
    fn commit(&mut self, changes: &[Change]) -> Result<(), String> {
        let done = self.write(changes);
        done.map_err(|error| {
            self.database = None;
            format!(
                "{}: {error}; free space, or see to the disk, and it goes on by itself",
                self.path.display()
            )
        })
    }
}

impl RedbStore {
    fn write(&mut self, changes: &[Change]) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::builder().set_cache_size(CACHE_BYTES).open(&self.path)?,
        };
        let write = database.begin_write()?;
        {
            let mut records = write.open_table(RECORDS)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(records.insert(key.as_str(), value.as_slice())?),
                    None => drop(records.remove(key.as_str())?),
                }
            }
        }
        write.commit()?;
        self.database = Some(database);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_grow_and_records_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let State { mut store, records, term } = open(dir.path(), 5).unwrap();
        assert_eq!((records.len(), term), (0, Term(5)));
        store
            .commit(&[("a".to_owned(), Some(b"1".to_vec())), ("b".to_owned(), Some(b"2".to_vec()))])
            .unwrap();
        store.commit(&[("a".to_owned(), None)]).unwrap();
        drop(store);
        // By a clock that went back.
        let State { records, term, .. } = open(dir.path(), 3).unwrap();
        assert_eq!((records, term), (vec![("b".to_owned(), b"2".to_vec())], Term(6)));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_newer_program_wrote_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), 5).unwrap());
        let path = dir.path().join(FILE);
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(NUMBERS).unwrap().insert(FORMAT.0, FORMAT.1 + 1).unwrap();
        write.commit().unwrap();
        drop(database);
        let error = open(dir.path(), 7).unwrap_err();
        assert!(error.contains("was written by a newer trogdor (format 2, this one reads 1)"), "{error}");
        let database = Database::open(&path).unwrap();
        let (records, numbers) = contents(&database).unwrap();
        assert_eq!((records.len(), numbers), (0, Some((2, 5))), "no term has begun");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
