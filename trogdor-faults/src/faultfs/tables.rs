//! The field tables of faults of files: one for the control file, one for specs.

use serde_json::{Map, Value};
use trogdor_core::json::{Checker, Family, Field, Kind, Object};

use super::form::FileFault;
use super::operation::OPERATION_NAMES;

/// The faults of files, told apart by `type`.
pub static FILE_FAULT: Family = Family {
    name: "file fault",
    tag: "type",
    members: &[
        ("error", &ERROR),
        ("delay", &DELAY),
        ("diskFull", &DISK_FULL),
        ("unreadable", &UNREADABLE),
        ("unwritable", &UNWRITABLE),
        ("read_delay", &READ_DELAY),
        ("write_delay", &WRITE_DELAY),
        ("read_corrupt", &READ_CORRUPT),
        ("write_corrupt", &WRITE_CORRUPT),
    ],
};

/// The control file.
pub(crate) static CONTROL: Object =
    Object::new("control file", &[Field::new("faults", FAULTS, "[]", "the faults in force")]);

/// A list of faults.
pub(crate) const FAULTS: Kind = Kind::List(&Kind::Family(&FILE_FAULT));

const OPERATIONS: Field = Field::new(
    "operations",
    Kind::List(&Kind::Enum(OPERATION_NAMES)),
    "",
    "the operations that are hit; at least one",
);
const PREFIX: Field =
    Field::new("prefix", Kind::Text, "\"\"", "how the path begins, seen from the mount point: `/topic-0/`");
const SUFFIX: Field = Field::new("suffix", Kind::Text, "\"\"", "how the path ends: `.log`");
const PROBABILITY: Field =
    Field::new("probability", Kind::Double, "1", "the share of these operations that is hit, 0 to 1");
const COUNT: Field =
    Field::new("count", Kind::Long, "no limit", "how many are hit before the fault is spent")
        .unit("operations");
const SEED: Field =
    Field::new("seed", Kind::Long, "0", "decides together with `probability` which ones are hit");
const ID: Field = Field::new(
    "id",
    Kind::Text,
    "",
    "tells this fault from an equal one, for programs that take away what they added",
);
const FRACTION: Field = Field::new("fraction", Kind::Double, "1", "the share of operations, 0 to 1");
const DELAY_MS: Field = Field::new("delay_ms", Kind::Long, "0", "by how much").unit("ms");
const CODE: Field =
    Field::new("code", Kind::Int, "", "the number of the error, as 5 for EIO").also(&["errorCode"]);
const MODE: Field = Field::new(
    "mode",
    Kind::Int,
    "",
    "1000 zeros, 1001 random bytes, 1100 zeros to the end, 1101 random bytes to the end, 1200 nothing \
     to the end",
);
const SHARE: Field = Field::new("fraction", Kind::Double, "1", "the share of bytes, for modes 1000 and 1001");
const BEFORE_DROP: Field =
    Field::new("count", Kind::Long, "-1", "after so many, mode 1200 takes over; never if negative")
        .unit("operations");

static ERROR: Object = Object::new("error of file operations", ERROR_FIELDS).checked(error);
const ERROR_FIELDS: &[Field] = &[
    OPERATIONS,
    PREFIX,
    SUFFIX,
    Field::new("error", Kind::Text, "\"EIO\"", "the error, by name or number"),
    PROBABILITY,
    COUNT,
    SEED,
    ID,
];

static DELAY: Object = Object::new("delay of file operations", DELAY_FIELDS).checked(delay);
const DELAY_FIELDS: &[Field] = &[
    OPERATIONS,
    PREFIX,
    SUFFIX,
    Field::new("delayMs", Kind::Long, "0", "by how much they are delayed"),
    PROBABILITY,
    COUNT,
    SEED,
    ID,
];

static DISK_FULL: Object = Object::new("full disk", DISK_FULL_FIELDS).checked(disk_full);
const DISK_FULL_FIELDS: &[Field] = &[
    Field::new("bytes", Kind::Long, "0", "by how much files may still grow").unit("bytes"),
    Field::new("error", Kind::Text, "\"ENOSPC\"", "the error after that, by name or number"),
    ID,
];

static UNREADABLE: Object =
    Object::new("Kibosh's unreadable files", &[PREFIX, SUFFIX, CODE, ID]).checked(unreadable);
static UNWRITABLE: Object =
    Object::new("Kibosh's unwritable files", &[PREFIX, SUFFIX, CODE, ID]).checked(unwritable);
static READ_DELAY: Object =
    Object::new("Kibosh's delay of reads", &[PREFIX, SUFFIX, DELAY_MS, FRACTION, ID]).checked(read_delay);
static WRITE_DELAY: Object =
    Object::new("Kibosh's delay of writes", &[PREFIX, SUFFIX, DELAY_MS, FRACTION, ID]).checked(write_delay);
static READ_CORRUPT: Object =
    Object::new("Kibosh's corrupt reads", &[PREFIX, SUFFIX, MODE, SHARE, BEFORE_DROP, ID])
        .checked(read_corrupt);
static WRITE_CORRUPT: Object =
    Object::new("Kibosh's corrupt writes", &[PREFIX, SUFFIX, MODE, SHARE, BEFORE_DROP, ID])
        .checked(write_corrupt);

macro_rules! checks {
    ($($name:ident = $tag:literal),* $(,)?) => {
        $(fn $name(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
            check($tag, fields, checker);
        })*
    };
}

checks! {
    error = "error",
    delay = "delay",
    disk_full = "diskFull",
    unreadable = "unreadable",
    unwritable = "unwritable",
    read_delay = "read_delay",
    write_delay = "write_delay",
    read_corrupt = "read_corrupt",
    write_corrupt = "write_corrupt",
}

fn check(tag: &str, fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    let mut object = fields.clone();
    object.insert("type".to_owned(), tag.into());
    let findings = match serde_json::from_value::<FileFault>(Value::Object(object)) {
        Ok(fault) => fault.rule().err().unwrap_or_default(),
        // The table has let through what the type does not take: shown rather than hidden.
        Err(error) => vec![("type", error.to_string())],
    };
    for (field, text) in findings {
        checker.refuse(field, text);
    }
}
