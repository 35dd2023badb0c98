//! The `constant` payload generator of a spec. It is a type of its own because of its written form:
//! Java's readers expect the pattern that is actually used, so a missing one is written out as
//! zeros, while memory holds them only once a generator is started.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest pattern of zeros that is written out, in bytes. Longer ones need a `value`: every
/// state of the task would carry them. Java runs out of memory there with its default heap.
pub(super) const MAX_WRITTEN_ZEROS: i64 = 5 << 20;

/// A pattern repeated and cut to a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstantPayload {
    size: i32,
    /// Never empty for `Some`, never `size` zeros: so equal values have equal written forms.
    pattern: Option<Vec<u8>>,
}

impl ConstantPayload {
    /// `size` bytes of the pattern, over and over; an empty pattern stands for zeros.
    pub fn new(size: i32, pattern: Vec<u8>) -> ConstantPayload {
        let is_default = usize::try_from(size) == Ok(pattern.len()) && pattern.iter().all(|byte| *byte == 0);
        ConstantPayload { size, pattern: (!pattern.is_empty() && !is_default).then_some(pattern) }
    }

    /// The length of the payload in bytes.
    pub fn size(&self) -> i32 {
        self.size
    }

    /// What is repeated; `None` stands for zeros.
    pub fn pattern(&self) -> Option<&[u8]> {
        self.pattern.as_deref()
    }

    /// The pattern as Base64 as it is written, if it is not empty.
    fn written_pattern(&self) -> Option<String> {
        match (&self.pattern, usize::try_from(self.size)) {
            (Some(pattern), _) => Some(BASE64.encode(pattern)),
            // More zeros than this cannot be started either, so there is nothing to lose.
            (None, Ok(size)) if size > 0 && i64::from(self.size) <= MAX_WRITTEN_ZEROS => {
                Some(BASE64.encode(vec![0; size]))
            }
            (None, _) => None,
        }
    }
}

impl Serialize for ConstantPayload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.written_pattern();
        let mut fields = serializer.serialize_struct("constant", 1 + usize::from(value.is_some()))?;
        fields.serialize_field("size", &self.size)?;
        match value {
            Some(value) => fields.serialize_field("value", &value)?,
            None => fields.skip_field("value")?,
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for ConstantPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ConstantPayload, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(default)]
            size: i32,
            #[serde(default)]
            value: String,
        }
        let written = Written::deserialize(deserializer)?;
        let pattern = BASE64.decode(written.value).map_err(de::Error::custom)?;
        Ok(ConstantPayload::new(written.size, pattern))
    }
}
