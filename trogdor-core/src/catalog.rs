//! The catalog: every task class that this program knows, with its field table. It is the only way
//! from JSON to a typed spec. It verifies itself when it is made, because a plug-in crate that is
//! not linked, or a class that is registered twice, would otherwise show only when a user meets it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::json::{self, ClassTables, Field, Kind, Object, Problems};
use crate::spec::{COMMON_FIELDS, Spec, TaskSpec};

/// One task class: what a plug-in crate exports for each of its specs.
#[derive(Debug, Clone, Copy)]
pub struct TaskClass {
    /// The `class` tag, the same as in `#[typetag::serde(name = "…")]`.
    pub class: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// A complete spec as JSON; read at start-up as a check, printed as help.
    pub example: &'static str,
    /// Its fields.
    pub fields: &'static Object,
}

/// Why a catalog could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two plug-ins use the same name.
    #[error("task class \"{0}\" is listed twice")]
    Twice(&'static str),
    /// The example cannot be read; most often the class is not registered with typetag.
    #[error("the example of task class \"{class}\" cannot be read: {problems}")]
    Example {
        /// The class.
        class: &'static str,
        /// What was wrong.
        problems: Problems,
    },
}

/// All task classes that this program knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    classes: Arc<BTreeMap<&'static str, TaskClass>>,
}

impl Catalog {
    /// Joins lists of classes and reads the example of each.
    ///
    /// # Errors
    /// The first class that is listed twice or whose example cannot be read.
    pub fn new<'a>(lists: impl IntoIterator<Item = &'a [TaskClass]>) -> Result<Catalog, CatalogError> {
        let mut classes = BTreeMap::new();
        for class in lists.into_iter().flatten() {
            if classes.insert(class.class, *class).is_some() {
                return Err(CatalogError::Twice(class.class));
            }
        }
        let catalog = Catalog { classes: Arc::new(classes) };
        for class in catalog.classes.values() {
            catalog
                .read_spec(class.example.as_bytes())
                .map_err(|problems| CatalogError::Example { class: class.class, problems })?;
        }
        Ok(catalog)
    }

    /// Every class, by name.
    pub fn classes(&self) -> impl Iterator<Item = &TaskClass> {
        self.classes.values()
    }

    /// Reads a spec and gives its normal form.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn read_spec(&self, text: &[u8]) -> Result<Spec, Problems> {
        let spec = Spec::from(json::read(text, &Kind::Spec, self)?);
        self.open(&spec).map(|(spec, _)| spec)
    }

    /// Turns a document into a typed spec, and gives its normal form (defaults filled in).
    ///
    /// # Errors
    /// What does not fit.
    pub fn open(&self, spec: &Spec) -> Result<(Spec, Arc<dyn TaskSpec>), Problems> {
        let own = spec.without_common_fields();
        let typed: Box<dyn TaskSpec> = serde_json::from_value(own.json().clone())
            .map_err(|error| Problems::one("", format!("task class {:?}: {error}", spec.class())))?;
        let normal = Spec::of(&*typed).map_err(|error| Problems::one("", error.to_string()))?;
        Ok((normal.with_common_fields_of(spec)?, Arc::from(typed)))
    }

    /// Reads a message along its field table.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn read<T: DeserializeOwned>(&self, text: &[u8], kind: &Kind) -> Result<T, Problems> {
        let value = json::read(text, kind, self)?;
        serde_json::from_value(value).map_err(|error| Problems::one("", error.to_string()))
    }
}

impl ClassTables for Catalog {
    fn class_table(&self, class: &str) -> Option<&'static Object> {
        self.classes.get(class).map(|class| class.fields)
    }

    fn class_names(&self) -> Vec<&'static str> {
        self.classes.keys().copied().collect()
    }

    fn common_fields(&self) -> &'static [Field] {
        &COMMON_FIELDS
    }
}
