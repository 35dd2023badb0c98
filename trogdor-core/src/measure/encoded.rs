//! Latencies as they travel: the compressed HDR histogram, format V2, in Base64, which every HDR
//! tool reads (`HISTFAAAA…`). Values are microseconds. What comes from outside is checked before it
//! costs memory.

use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::latencies::{DIGITS, Latencies};

/// Before the compressed bytes: a magic number and their length.
const ENVELOPE_BYTES: usize = 8;
const MAGIC: &[u8] = &[0x1c, 0x84, 0x93, 0x14];
/// The largest histogram, uncompressed: one of ours with every bar is a ninth of this.
const PLAIN_BYTES_MAX: u64 = 4 << 20;
/// The head of the uncompressed form, and where it tells the length of what follows and its number of digits, as
/// big-endian numbers.
const HEAD_BYTES: usize = 40;
const LENGTH_AT: std::ops::Range<usize> = 4..8;
const DIGITS_AT: std::ops::Range<usize> = 12..16;

/// A histogram of latencies in the compressed HDR form V2, Base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncodedLatencies(String);

/// A text that should be a histogram and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; a histogram is the compressed HDR form V2 in Base64, HISTFAAAA…, with 3 digits")]
pub struct NotAHistogram(String);

impl EncodedLatencies {
    /// Encodes.
    ///
    /// # Errors
    /// A count is larger than the form can hold, 2^63.
    pub fn new(latencies: &Latencies) -> Result<EncodedLatencies, NotAHistogram> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&latencies.histogram, &mut bytes);
        written.map_err(|error| NotAHistogram(format!("cannot be written: {error}")))?;
        Ok(EncodedLatencies(BASE64_STANDARD.encode(bytes)))
    }

    /// Decodes.
    ///
    /// # Errors
    /// It is not a histogram of ours: of another form, cut, or of another precision.
    pub fn decode(&self) -> Result<Latencies, NotAHistogram> {
        let bytes = BASE64_STANDARD.decode(&self.0);
        let bytes = bytes.map_err(|error| NotAHistogram(format!("not Base64: {error}")))?;
        if !bytes.starts_with(MAGIC) {
            return Err(NotAHistogram("of another form".to_owned()));
        }
        let compressed = bytes.get(ENVELOPE_BYTES..).unwrap_or_default();
        let mut plain = Vec::new();
        let inflated =
            flate2::read::ZlibDecoder::new(compressed).take(PLAIN_BYTES_MAX).read_to_end(&mut plain);
        inflated.map_err(|error| NotAHistogram(format!("not compressed as told: {error}")))?;
        // Each digit more takes ten times the memory.
        let digits = plain.get(DIGITS_AT).unwrap_or_default();
        if digits != u32::from(DIGITS).to_be_bytes() {
            return Err(NotAHistogram("of another precision".to_owned()));
        }
        // As much memory is taken as it says.
        let length = u32::try_from(plain.len().saturating_sub(HEAD_BYTES)).unwrap_or(u32::MAX);
        if plain.get(LENGTH_AT).unwrap_or_default() != length.to_be_bytes() {
            return Err(NotAHistogram("cut, or longer than it says".to_owned()));
        }
        let histogram = Deserializer::new().deserialize(&mut plain.as_slice());
        let histogram = histogram.map_err(|error| NotAHistogram(format!("unreadable: {error}")))?;
        Ok(Latencies::of(histogram))
    }

    /// How much memory it takes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        let mut latencies = Latencies::new();
        for n in 1..10_000_u64 {
            latencies.record_ns(n * n * 1000);
        }
        let encoded = EncodedLatencies::new(&latencies).unwrap();
        assert!(encoded.0.starts_with("HISTFAAA"), "{encoded:?}");
        let decoded = encoded.decode().unwrap();
        assert_eq!(decoded.bars().collect::<Vec<_>>(), latencies.bars().collect::<Vec<_>>());
        assert!((decoded.mean_us() / latencies.mean_us() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn an_empty_set_is_small_and_comes_back() {
        let encoded = EncodedLatencies::new(&Latencies::new()).unwrap();
        assert!(encoded.len() < 100, "{encoded:?}");
        assert!(encoded.decode().unwrap().is_empty());
    }

    #[test]
    fn what_is_none_is_refused() {
        let mut latencies = Latencies::new();
        latencies.record_ns(5_000_000);
        let EncodedLatencies(good) = EncodedLatencies::new(&latencies).unwrap();
        let five_digits = {
            let mut bytes = Vec::new();
            let histogram = hdrhistogram::Histogram::<u64>::new_with_max(u64::MAX / 2, 5).unwrap();
            V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
            BASE64_STANDARD.encode(bytes)
        };
        let greedy = {
            let bytes = BASE64_STANDARD.decode(&good).unwrap();
            let mut plain = Vec::new();
            flate2::read::ZlibDecoder::new(&bytes[ENVELOPE_BYTES..]).read_to_end(&mut plain).unwrap();
            plain[LENGTH_AT].copy_from_slice(&[0xff; 4]);
            let head = [MAGIC, &[0; 4]].concat();
            let mut packed = flate2::write::ZlibEncoder::new(head, flate2::Compression::fast());
            std::io::Write::write_all(&mut packed, &plain).unwrap();
            BASE64_STANDARD.encode(packed.finish().unwrap())
        };
        let mut zeros =
            flate2::write::ZlibEncoder::new([MAGIC, &[0; 4]].concat(), flate2::Compression::fast());
        std::io::copy(&mut std::io::repeat(0).take(1 << 24), &mut zeros).unwrap();
        let bomb = BASE64_STANDARD.encode(zeros.finish().unwrap());
        let rows = [
            ("", "of another form"),
            ("???", "not Base64"),
            ("AAAA", "of another form"),
            (&good[..good.len() - 12], "not compressed as told"),
            (&greedy, "cut, or longer than it says"),
            (&five_digits, "of another precision"),
            (&bomb, "of another precision"),
        ];
        for (text, expected) in rows {
            let refused = EncodedLatencies(text.to_owned()).decode();
            let refused = refused.expect_err(&text[..text.len().min(20)]).to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
