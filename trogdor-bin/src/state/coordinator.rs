//! The coordinator's state in a file of redb: records of JSON by key, the format's number, and the term.

use std::fs::{self, TryLockError};
use std::io::{self, BufRead as _, BufReader};
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
const IN_USE: &str = "another coordinator uses it; end that one, or use another --state-dir";
/// What copies of files are called that were not opened: `coordinator.redb.damaged-MS`.
const DAMAGED: &str = "damaged";
const NEWER: &str = "newer";
/// Memory for the pages of the file. Nothing is read but at the start, and each commit touches few of them.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Opens the state in a folder, which is made if it is not there, and begins a new term.
///
/// # Errors
/// The state is in use, damaged, or of a newer program. What is damaged or newer is named with a copy of it as it was found.
pub fn open(dir: &Path, now_ms: i64) -> Result<State, String> {
    make_dir(dir)?;
    let path = dir.join(FILE);
    let name = path.display();
    // Opening writes: it mends a file that was not closed, and must not make anything of one that cannot be used. So the copy is
    // opened first.
    if let Some(copy) = copy_of(&path, now_ms)? {
        match look(&copy) {
            Ok(()) => discard(&copy),
            Err(trouble) => return Err(refusal(&path, copy, trouble)),
        }
    }
    let (database, records, term) = read(&path, now_ms).map_err(|trouble| match trouble {
        Trouble::Damaged(why) | Trouble::Other(why) => format!("the state {name}: {why}"),
        Trouble::Newer(format) => {
            format!("the state {name} was written by a newer trogdor (format {format})")
        }
    })?;
    Ok(State { store: Box::new(RedbStore { path, database: Some(database) }), records, term })
}

/// What is said of a state that is not opened, with the copy that is kept of it.
fn refusal(path: &Path, copy: PathBuf, trouble: Trouble) -> String {
    let name = path.display();
    let (what, kind, remedy) = match trouble {
        Trouble::Damaged(why) => (
            format!("is damaged ({why})"),
            DAMAGED,
            "Put a backup in its place, or move it away to begin with no tasks",
        ),
        Trouble::Newer(format) => (
            format!("was written by a newer trogdor (format {format}, this one reads {})", FORMAT.1),
            NEWER,
            "Use that program, or another --state-dir",
        ),
        Trouble::Other(why) => {
            discard(&copy);
            return format!("the state {name}: {why}");
        }
    };
    match keep(path, copy, kind) {
        Ok(copy) => {
            format!("the state {name} {what}; {} is a copy of it as it was found. {remedy}", copy.display())
        }
        Err(error) => format!("the state {name} {what}, and cannot be copied: {error}. {remedy}"),
    }
}

enum Trouble {
    Damaged(String),
    /// Its format.
    Newer(i64),
    Other(String),
}

fn make_dir(dir: &Path) -> Result<(), String> {
    // Specs can hold secrets.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| format!("cannot make the state directory {}: {error}", dir.display()))
}

/// A copy of the file as it is found, if it is there and nobody uses it.
fn copy_of(path: &Path, now_ms: i64) -> Result<Option<PathBuf>, String> {
    // Of a file that is written to, a copy tells nothing. Opening it asks again.
    if let Ok(file) = fs::File::open(path)
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        return Err(format!("the state {}: {IN_USE}", path.display()));
    }
    let copy = path.with_extension(format!("redb.{DAMAGED}-{now_ms}"));
    match fs::copy(path, &copy) {
        Ok(_) => Ok(Some(copy)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot copy the state {} before it is opened: {error}", path.display())),
    }
}

/// Removes a copy that is not needed.
fn discard(copy: &Path) {
    // One that stays does no harm.
    let _ = fs::remove_file(copy);
}

/// Keeps a copy of what is of this kind, unless there is the same one from an earlier start: whoever starts a daemon again
/// and again would fill the disk. Gives the one that is kept.
fn keep(path: &Path, copy: PathBuf, kind: &str) -> io::Result<PathBuf> {
    // The one that was looked at may have been mended.
    fs::copy(path, &copy)?;
    let beginning = format!("{FILE}.{kind}-");
    let siblings = path.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten();
    let siblings = siblings.filter_map(|entry| entry.ok()).filter(|entry| {
        entry.path() != copy && entry.file_name().to_str().is_some_and(|name| name.starts_with(&beginning))
    });
    let same = siblings.map(|entry| entry.path()).find(|other| is_same(other, &copy).unwrap_or(false));
    if let Some(same) = same {
        discard(&copy);
        return Ok(same);
    }
    let named = copy.extension().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
    let named = named.map(|(_, moment)| path.with_extension(format!("redb.{kind}-{moment}")));
    // Under whatever name, it is kept.
    Ok(named.filter(|named| fs::rename(&copy, named).is_ok()).unwrap_or(copy))
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::File::open(one)?, fs::File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let len = left.len().min(right.len());
        if left.get(..len) != right.get(..len) {
            return Ok(false);
        }
        if len == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(len);
        other.consume(len);
    }
}

/// Whether what is there does not read as a file of redb.
fn is_no_database(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

type Read = (Database, Vec<SavedRecord>, Term);

/// Whether a file can be used. Writes to it.
fn look(path: &Path) -> Result<(), Trouble> {
    // An empty file would be taken for a new one.
    if fs::metadata(path).is_ok_and(|data| data.len() == 0) {
        return Err(Trouble::Damaged("it is empty".to_owned()));
    }
    known(&opened(path)?).map(drop)
}

fn read(path: &Path, now_ms: i64) -> Result<Read, Trouble> {
    let is_new = !path.exists();
    let database = opened(path)?;
    let (records, last_term) = if is_new { (Vec::new(), None) } else { known(&database)? };
    let term = now_ms.max(last_term.unwrap_or(i64::MIN).saturating_add(1));
    begin(&database, term).map_err(|error| Trouble::Other(format!("cannot be written: {error}")))?;
    Ok((database, records, Term(term)))
}

/// The database at this path; a new one where there is none.
fn opened(path: &Path) -> Result<Database, Trouble> {
    let database =
        Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Trouble::Other(IN_USE.to_owned()),
            DatabaseError::Storage(redb::StorageError::Io(error)) if !is_no_database(&error) => {
                Trouble::Other(format!("cannot be opened: {error}"))
            }
            error => Trouble::Damaged(error.to_string()),
        })?;
    // Whatever the directory lets others do: specs can hold secrets.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|error| Trouble::Other(format!("cannot be kept from others: {error}")))?;
    Ok(database)
}

/// Records and last term of a state that this program knows how to read.
fn known(database: &Database) -> Result<(Vec<SavedRecord>, Option<i64>), Trouble> {
    let (records, numbers) = contents(database).map_err(|error| Trouble::Damaged(error.to_string()))?;
    match numbers {
        Some((format, _)) if format > FORMAT.1 => Err(Trouble::Newer(format)),
        numbers => Ok((records, numbers.map(|(_, term)| term))),
    }
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

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_newer_program_wrote_is_refused_and_left_alone_with_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), 5).unwrap());
        let path = dir.path().join(FILE);
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(NUMBERS).unwrap().insert(FORMAT.0, FORMAT.1 + 1).unwrap();
        write.commit().unwrap();
        drop(database);
        let found = fs::read(&path).unwrap();
        // However often it is tried.
        for now_ms in [7, 8, 9] {
            let error = open(dir.path(), now_ms).unwrap_err();
            let copy = dir.path().join("coordinator.redb.newer-7");
            let expected = format!(
                "was written by a newer trogdor (format 2, this one reads 1); {} is a copy of it as it was found",
                copy.display()
            );
            assert!(error.contains(&expected), "{error}");
            assert_eq!((fs::read(&copy).unwrap(), fs::read(&path).unwrap()), (found.clone(), found.clone()));
            assert_eq!(names(dir.path()), [FILE, "coordinator.redb.newer-7"]);
        }
        let database = Database::open(&path).unwrap();
        let (records, numbers) = contents(&database).unwrap();
        assert_eq!((records.len(), numbers), (0, Some((2, 5))), "no term has begun");
    }

    #[test]
    fn one_copy_is_kept_of_each_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let rows = [("pumpkin", 1), ("pumpkin", 1), ("turnip!", 2), ("pumpkin", 2), ("", 3), ("", 3)];
        for (now_ms, (contents, copies)) in (10..).zip(rows) {
            fs::write(&path, contents).unwrap();
            let error = open(dir.path(), now_ms).unwrap_err();
            let names = names(dir.path());
            assert_eq!(names.len(), 1 + copies, "{names:?}");
            let named = names.iter().find(|name| error.contains(&format!("{name} is a copy"))).unwrap();
            assert_eq!(fs::read_to_string(dir.path().join(named)).unwrap(), contents);
            assert_eq!(fs::read_to_string(&path).unwrap(), contents, "left alone");
        }
    }
}
