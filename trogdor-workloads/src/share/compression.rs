//! Record batches as they were before their producer compressed them. What comes out is bounded, so that a broken
//! batch cannot eat the machine.

use std::io::Read;

use bytes::Bytes;

/// No batch holds more than this; brokers bound batches far below.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// What precedes snappy blocks as Java's library writes them; others write one bare block.
const SNAPPY_JAVA_MAGIC: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER_BYTES: usize = 16;

/// Unpacks the records of a batch, by the codec number in its attributes.
///
/// # Errors
/// The codec is not known, or the bytes are not of it.
pub(super) fn unpack(codec: i16, packed: Bytes) -> Result<Bytes, String> {
    let unpacked = match codec {
        0 => return Ok(packed),
        1 => read_all(flate2::read::MultiGzDecoder::new(&*packed)).map_err(|error| format!("gzip: {error}")),
        2 => snappy(&packed).map_err(|error| format!("snappy: {error}")),
        3 => read_all(lz4_flex::frame::FrameDecoder::new(&*packed)).map_err(|error| format!("lz4: {error}")),
        4 => zstd::stream::read::Decoder::new(&*packed)
            .and_then(read_all)
            .map_err(|error| format!("zstd: {error}")),
        other => Err(format!("codec {other} is not known")),
    };
    unpacked.map(Bytes::from)
}

fn read_all(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let read = reader.take(UNPACKED_BYTES_MAX).read_to_end(&mut unpacked)?;
    if read as u64 == UNPACKED_BYTES_MAX {
        return Err(std::io::Error::other(format!("more than {UNPACKED_BYTES_MAX} bytes in one batch")));
    }
    Ok(unpacked)
}

fn snappy(packed: &[u8]) -> Result<Vec<u8>, String> {
    if !packed.starts_with(SNAPPY_JAVA_MAGIC) {
        return snappy_block(packed);
    }
    let mut rest = packed.get(SNAPPY_JAVA_HEADER_BYTES..).ok_or("the header is cut")?;
    let mut unpacked = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or("a block is cut")?;
        unpacked.extend(snappy_block(block)?);
        if unpacked.len() as u64 > UNPACKED_BYTES_MAX {
            return Err(format!("more than {UNPACKED_BYTES_MAX} bytes in one batch"));
        }
        rest = &after[length..];
    }
    Ok(unpacked)
}

fn snappy_block(packed: &[u8]) -> Result<Vec<u8>, String> {
    let length = snap::raw::decompress_len(packed).map_err(|error| error.to_string())?;
    if length as u64 > UNPACKED_BYTES_MAX {
        return Err(format!("{length} bytes in one block"));
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn text() -> Vec<u8> {
        (0..5000).flat_map(|n: u32| n.to_string().into_bytes()).collect()
    }

    fn packed(codec: i16) -> Vec<u8> {
        let text = text();
        match codec {
            1 => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                writer.write_all(&text).unwrap();
                writer.finish().unwrap()
            }
            2 => snap::raw::Encoder::new().compress_vec(&text).unwrap(),
            3 => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
                writer.write_all(&text).unwrap();
                writer.finish().unwrap()
            }
            4 => zstd::stream::encode_all(&*text, 3).unwrap(),
            _ => text,
        }
    }

    #[test]
    fn every_codec_gives_back_what_was_packed() {
        for codec in 0..=4 {
            let packed = packed(codec);
            assert!(codec == 0 || packed.len() < text().len(), "codec {codec} packs");
            assert_eq!(unpack(codec, packed.into()), Ok(text().into()), "codec {codec}");
        }
    }

    #[test]
    fn snappy_blocks_of_java_are_read() {
        let mut framed = [SNAPPY_JAVA_MAGIC, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for part in text().chunks(4000) {
            let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
            framed.extend((block.len() as u32).to_be_bytes());
            framed.extend(block);
        }
        assert_eq!(unpack(2, framed.clone().into()), Ok(text().into()));
        assert!(unpack(2, framed[..framed.len() - 1].to_vec().into()).unwrap_err().starts_with("snappy: "));
    }

    #[test]
    fn broken_batches_are_errors() {
        for codec in 1..=4 {
            let mut packed = packed(codec);
            packed.truncate(packed.len() / 2);
            assert!(unpack(codec, packed.into()).is_err(), "codec {codec}");
            assert!(unpack(codec, vec![0xFF; 30].into()).is_err(), "codec {codec}");
        }
        assert_eq!(unpack(5, Bytes::new()), Err("codec 5 is not known".to_owned()));
    }
}
