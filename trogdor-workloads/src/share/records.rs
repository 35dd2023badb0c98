//! The record batches of one partition as they come from a broker, read record by record without a copy. Only
//! format 2 is read, the one that brokers with share groups write; headers are read only when asked for.

use bytes::{Buf as _, Bytes};

use super::compression::unpack;

/// Bytes of a batch up to and including its magic.
const TO_MAGIC_BYTES: usize = 17;
/// Bytes of a batch before its records.
const HEADER_BYTES: usize = 61;
/// Where the check sum lies, and what it covers.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const CONTROL: i16 = 1 << 5;

/// A record that lies in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its place in the partition.
    pub(crate) offset: i64,
    /// When it was made or appended, milliseconds since the epoch; −1 if it has none.
    pub(crate) timestamp_ms: i64,
    /// Its key.
    pub(crate) key: Option<&'a [u8]>,
    /// Its value.
    pub(crate) value: Option<&'a [u8]>,
    /// Its headers as they lie in the batch.
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// The value of the first header of this name.
    pub(crate) fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut at = Cursor { bytes: self.headers, at: 0 };
        for _ in 0..at.varint()? {
            let (found, value) = (at.field()??, at.field()?);
            if found == name {
                return value;
            }
        }
        None
    }
}

/// Reads batches from their first record to their last.
#[derive(Debug)]
pub(super) struct Records {
    batches: Bytes,
    batch: Option<Batch>,
    check_crcs: bool,
    /// The last offset of the last whole batch that was begun; records up to it are there or never will be.
    complete_to: Option<i64>,
}

#[derive(Debug)]
struct Batch {
    base_offset: i64,
    base_timestamp_ms: i64,
    /// The time of all its records, where brokers set it.
    append_time_ms: Option<i64>,
    records: Bytes,
    at: usize,
    left: i32,
}

impl Records {
    pub(super) fn new(batches: Bytes, check_crcs: bool) -> Records {
        Records { batches, batch: None, check_crcs, complete_to: None }
    }

    /// The last offset of the batches that were begun so far.
    pub(super) fn complete_to(&self) -> Option<i64> {
        self.complete_to
    }

    /// Whether the batch that was begun last has no further record.
    pub(super) fn is_between_batches(&self) -> bool {
        self.batch.as_ref().is_none_or(|batch| batch.left <= 0)
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// What is broken, and at which offset.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, String> {
        while self.is_between_batches() {
            if !self.open()? {
                return Ok(None);
            }
        }
        let batch = self.batch.as_mut().expect("the loop ends with one");
        let base = batch.base_offset;
        let record = batch.next().ok_or_else(|| format!("the record batch at offset {base} is broken"))?;
        Ok(Some(record))
    }

    /// Goes to the next batch with records for users; false at the end. A last batch that was cut short by a
    /// limit on bytes counts as the end.
    fn open(&mut self) -> Result<bool, String> {
        loop {
            self.batch = None;
            if self.batches.len() < TO_MAGIC_BYTES {
                return Ok(false);
            }
            let base_offset = i64::from_be_bytes(chunk(&self.batches, 0));
            let length = i32::from_be_bytes(chunk(&self.batches, 8));
            let magic = self.batches[16];
            if magic != 2 {
                return Err(format!("the record batch at offset {base_offset} is of format {magic}, not 2"));
            }
            let whole = usize::try_from(length).map_or(usize::MAX, |length| length.saturating_add(12));
            if self.batches.len() < whole {
                return Ok(false);
            }
            if whole < HEADER_BYTES {
                return Err(format!("the record batch at offset {base_offset} is broken"));
            }
            let bytes = self.batches.split_to(whole);
            if self.begin(base_offset, bytes)? {
                return Ok(true);
            }
        }
    }

    /// Takes a whole batch; false if it only marks the end of a transaction.
    fn begin(&mut self, base_offset: i64, mut bytes: Bytes) -> Result<bool, String> {
        let at = |what: &str| format!("the record batch at offset {base_offset} {what}");
        if self.check_crcs && crc32c::crc32c(&bytes[CRC_FROM..]) != u32::from_be_bytes(chunk(&bytes, CRC_AT))
        {
            return Err(at("is broken: its check sum is wrong"));
        }
        let attributes = i16::from_be_bytes(chunk(&bytes, 21));
        let last_delta = i32::from_be_bytes(chunk(&bytes, 23));
        let base_timestamp_ms = i64::from_be_bytes(chunk(&bytes, 27));
        let max_timestamp_ms = i64::from_be_bytes(chunk(&bytes, 35));
        let left = i32::from_be_bytes(chunk(&bytes, 57));
        self.complete_to = Some(base_offset.saturating_add(last_delta.into()));
        if attributes & CONTROL != 0 {
            return Ok(false);
        }
        bytes.advance(HEADER_BYTES);
        let records = unpack(attributes & CODEC_MASK, bytes)
            .map_err(|why| at(&format!("cannot be unpacked: {why}")))?;
        self.batch = Some(Batch {
            base_offset,
            base_timestamp_ms,
            append_time_ms: (attributes & LOG_APPEND_TIME != 0).then_some(max_timestamp_ms),
            records,
            at: 0,
            left,
        });
        Ok(true)
    }
}

impl Batch {
    /// The next record; `None` if the bytes are not one.
    fn next(&mut self) -> Option<Record<'_>> {
        let mut at = Cursor { bytes: &self.records, at: self.at };
        let length = usize::try_from(at.varint()?).ok()?;
        let end = at.at.checked_add(length).filter(|end| *end <= self.records.len())?;
        let mut at = Cursor { bytes: &self.records[..end], at: at.at };
        at.skip(1)?;
        let timestamp_delta = at.varint()?;
        let offset_delta = at.varint()?;
        let key = at.field()?;
        let value = at.field()?;
        self.at = end;
        self.left -= 1;
        let made_ms = self.base_timestamp_ms.checked_add(timestamp_delta)?;
        Some(Record {
            offset: self.base_offset.checked_add(offset_delta)?,
            timestamp_ms: self.append_time_ms.unwrap_or(made_ms),
            key,
            value,
            headers: at.rest(),
        })
    }
}

/// A place in bytes.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let skipped = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(skipped)
    }

    /// A number in groups of seven bits, the lowest first, with its sign in its lowest bit.
    fn varint(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Bytes after their length; `Some(None)` for null.
    fn field(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.skip(usize::try_from(length).ok()?).map(Some),
        }
    }
}

/// Callers have checked that the bytes are there.
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the header was checked to be whole")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn varint(bytes: &mut Vec<u8>, value: i64) {
        let mut value = ((value << 1) ^ (value >> 63)) as u64;
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    /// A batch with these offsets; keys hold the offset, values are null for every third offset.
    pub(in crate::share) fn batch(base: i64, last: i64, offsets: &[i64], attributes: i16) -> Vec<u8> {
        let mut records = Vec::new();
        for offset in offsets {
            let mut record = vec![0];
            varint(&mut record, 1000 - (offset - base));
            varint(&mut record, offset - base);
            varint(&mut record, 8);
            record.extend(offset.to_le_bytes());
            if offset % 3 == 0 {
                varint(&mut record, -1);
            } else {
                varint(&mut record, 300);
                record.extend([7; 300]);
            }
            // A header without a value, and one with the offset.
            varint(&mut record, 2);
            varint(&mut record, 1);
            record.extend(b"x");
            varint(&mut record, -1);
            varint(&mut record, 6);
            record.extend(b"offset");
            varint(&mut record, 8);
            record.extend(offset.to_le_bytes());
            varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        let mut checked = Vec::new();
        checked.extend(attributes.to_be_bytes());
        checked.extend(((last - base) as i32).to_be_bytes());
        checked.extend(5000_i64.to_be_bytes());
        checked.extend(7777_i64.to_be_bytes());
        checked.extend([0xFF; 14]);
        checked.extend((offsets.len() as i32).to_be_bytes());
        checked.extend(records);
        let mut batch = Vec::new();
        batch.extend(base.to_be_bytes());
        batch.extend((checked.len() as i32 + 9).to_be_bytes());
        batch.extend([0, 0, 0, 0, 2]);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend(checked);
        batch
    }

    fn offsets(records: &mut Records) -> Result<Vec<i64>, String> {
        let mut offsets = Vec::new();
        while let Some(record) = records.next()? {
            assert_eq!(record.key, Some(&record.offset.to_le_bytes()[..]));
            assert_eq!(record.value.is_none(), record.offset % 3 == 0);
            assert_eq!(record.header(b"offset"), record.key);
            assert_eq!((record.header(b"x"), record.header(b"offse")), (None, None));
            offsets.push(record.offset);
        }
        Ok(offsets)
    }

    #[test]
    fn records_come_batch_by_batch_with_their_offsets_and_times() {
        let bytes = [
            batch(10, 14, &[10, 11, 14], 0),
            batch(15, 15, &[15], CONTROL),
            batch(16, 19, &[17], LOG_APPEND_TIME),
        ];
        let mut records = Records::new(bytes.concat().into(), true);
        let first = records.next().unwrap().unwrap();
        assert_eq!((first.offset, first.timestamp_ms), (10, 6000));
        assert_eq!(records.complete_to(), Some(14));
        assert_eq!(records.next().unwrap().unwrap().timestamp_ms, 5999);
        assert_eq!(records.next().unwrap().unwrap().offset, 14);
        let appended = records.next().unwrap().unwrap();
        assert_eq!((appended.offset, appended.timestamp_ms), (17, 7777));
        assert_eq!(records.next(), Ok(None));
        assert_eq!(records.next(), Ok(None));
        assert_eq!(records.complete_to(), Some(19));
    }

    #[test]
    fn a_batch_that_was_cut_short_is_the_end() {
        let whole = [batch(0, 1, &[0, 1], 0), batch(2, 2, &[2], 0)].concat();
        for length in batch(0, 1, &[0, 1], 0).len()..whole.len() {
            let mut records = Records::new(Bytes::copy_from_slice(&whole[..length]), true);
            assert_eq!(offsets(&mut records), Ok(vec![0, 1]), "{length} bytes");
            assert_eq!(records.complete_to(), Some(1));
        }
    }

    #[test]
    fn broken_batches_are_errors_and_never_panics() {
        let whole = batch(5, 7, &[5, 6, 7], 0);
        let mut wrong = whole.clone();
        // In the largest timestamp, which says nothing here.
        wrong[42] ^= 1;
        let mut records = Records::new(wrong.clone().into(), true);
        assert_eq!(
            records.next(),
            Err("the record batch at offset 5 is broken: its check sum is wrong".to_owned())
        );
        assert_eq!(offsets(&mut Records::new(wrong.into(), false)), Ok(vec![5, 6, 7]));
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let mut records = Records::new(bytes.into(), false);
                while let Ok(Some(record)) = records.next() {
                    record.header(b"none");
                }
            }
        }
        let mut old = whole;
        old[16] = 1;
        let refused = Records::new(old.into(), true).next().unwrap_err();
        assert_eq!(refused, "the record batch at offset 5 is of format 1, not 2");
    }
}
