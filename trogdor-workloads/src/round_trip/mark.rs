//! What every record carries in a header, so that key and value stay exactly as the original writes
//! them: whose it is, which one, when it was due, and a checksum of both.

use std::ffi::CStr;

/// The header's name.
pub(super) const HEADER: &CStr = c"trogdor";

/// The length of the header's value.
const BYTES: usize = 28;

/// Whom records belong to: one run of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunId(u64);

impl RunId {
    /// One that no other run has.
    pub(super) fn new() -> RunId {
        RunId(uuid::Uuid::new_v4().as_u64_pair().0)
    }
}

/// A record's mark: run id, index and due time, eight little-endian bytes each, and four of the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) run: RunId,
    /// The number of the record in its run.
    pub(super) index: u64,
    /// When it was due, by the run's stopwatch.
    pub(super) due_ns: u64,
    checksum: u32,
}

impl Mark {
    /// The mark of a record.
    pub(super) fn new(run: RunId, index: u64, due_ns: u64, value: Option<&[u8]>) -> Mark {
        Mark { run, index, due_ns, checksum: checksum(run, index, value) }
    }

    /// Reads a header.
    pub(super) fn read(header: &[u8]) -> Option<Mark> {
        let header: &[u8; BYTES] = header.try_into().ok()?;
        let (numbers, checksum) = header.split_last_chunk()?;
        let (numbers, _) = numbers.as_chunks();
        let [run, index, due_ns] = [0, 1, 2].map(|n| u64::from_le_bytes(numbers[n]));
        Some(Mark { run: RunId(run), index, due_ns, checksum: u32::from_le_bytes(*checksum) })
    }

    /// As a header.
    pub(super) fn bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let numbers = [self.run.0, self.index, self.due_ns];
        for (chunk, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            chunk.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// Whether key and value are what was sent.
    pub(super) fn fits(self, key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        key == Some(&key_of(self.index)) && self.checksum == checksum(self.run, self.index, value)
    }
}

/// The key of a record: the original's, the index as four little-endian bytes. Beyond 2³² it starts
/// again; the mark tells which one it is.
pub(super) fn key_of(index: u64) -> [u8; 4] {
    (index as u32).to_le_bytes()
}

/// CRC-32C of run id, index and value; of a null value, its complement.
fn checksum(run: RunId, index: u64, value: Option<&[u8]>) -> u32 {
    let of_record = crc32c::crc32c_append(crc32c::crc32c(&run.0.to_le_bytes()), &index.to_le_bytes());
    value.map_or(!of_record, |value| crc32c::crc32c_append(of_record, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_as_it_was_written() {
        let mark = Mark::new(RunId::new(), (1 << 40) + 7, 123, Some(b"value"));
        assert_eq!(Mark::read(&mark.bytes()), Some(mark));
        assert!(mark.fits(Some(&7_u32.to_le_bytes()), Some(b"value")));
    }

    #[test]
    fn any_other_key_or_value_does_not_fit() {
        let mark = Mark::new(RunId::new(), 7, 123, Some(b"value"));
        let key = key_of(7);
        for (key, value) in [
            (Some(&key[..]), Some(&b"valuf"[..])),
            (Some(&key), Some(b"value\0")),
            (Some(&key), Some(b"")),
            (Some(&key), None),
            (Some(&[8, 0, 0, 0]), Some(b"value")),
            (Some(&key[..3]), Some(b"value")),
            (None, Some(b"value")),
        ] {
            assert!(!mark.fits(key, value), "{key:?} {value:?}");
        }
        assert!(!Mark::new(mark.run, 7, 0, None).fits(Some(&key), Some(b"")));
    }

    #[test]
    fn what_is_no_mark_is_told_apart() {
        assert_eq!(Mark::read(b""), None);
        assert_eq!(Mark::read(&[0; 33]), None);
        assert_ne!(RunId::new(), RunId::new());
    }
}
