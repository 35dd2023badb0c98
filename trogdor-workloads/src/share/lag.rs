//! DescribeShareGroupOffsets in version 1, which tells the lag (KIP-1226). The crate of messages has version 0 only; its
//! request is the same, so what is added here is the way to read the answer.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use kafka_protocol::messages::DescribeShareGroupOffsetsRequest;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, VersionRange};

/// Asks for the lag of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LagRequest(pub(super) DescribeShareGroupOffsetsRequest);

/// What is lagging, of all groups that were asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct LagResponse {
    /// Topic and partition → records that the group is not done with; −1 where it is not known.
    pub(super) lags: BTreeMap<(String, i32), i64>,
    /// Code and words of a group that was refused.
    pub(super) refused: Option<(i16, String)>,
}

const VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };

impl Message for LagRequest {
    const VERSIONS: VersionRange = VERSIONS;
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for LagRequest {
    fn header_version(_version: i16) -> i16 {
        DescribeShareGroupOffsetsRequest::header_version(0)
    }
}

impl Encodable for LagRequest {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, _version: i16) -> Result<()> {
        self.0.encode(buf, 0)
    }

    fn compute_size(&self, _version: i16) -> Result<usize> {
        self.0.compute_size(0)
    }
}

impl Decodable for LagRequest {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> Result<LagRequest> {
        DescribeShareGroupOffsetsRequest::decode(buf, 0).map(LagRequest)
    }
}

impl Request for LagRequest {
    const KEY: i16 = DescribeShareGroupOffsetsRequest::KEY;
    type Response = LagResponse;
}

impl Message for LagResponse {
    const VERSIONS: VersionRange = VERSIONS;
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for LagResponse {
    fn header_version(_version: i16) -> i16 {
        1
    }
}

impl Encodable for LagResponse {
    fn encode<B: ByteBufMut>(&self, _buf: &mut B, _version: i16) -> Result<()> {
        bail!("only brokers write it")
    }

    fn compute_size(&self, _version: i16) -> Result<usize> {
        bail!("only brokers write it")
    }
}

impl Decodable for LagResponse {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> Result<LagResponse> {
        let mut response = LagResponse::default();
        let _throttle_ms = buf.try_get_i32()?;
        for _ in 0..length(buf)? {
            response.read_group(buf)?;
        }
        skip_tags(buf)?;
        Ok(response)
    }
}

impl LagResponse {
    fn read_group<B: ByteBuf>(&mut self, buf: &mut B) -> Result<()> {
        let _group = text(buf)?;
        for _ in 0..length(buf)? {
            let topic = text(buf)?;
            let _id = buf.try_get_u128()?;
            for _ in 0..length(buf)? {
                self.read_partition(&topic, buf)?;
            }
            skip_tags(buf)?;
        }
        let code = buf.try_get_i16()?;
        let words = text(buf)?;
        if code != 0 {
            self.refused.get_or_insert((code, words));
        }
        skip_tags(buf)
    }

    /// A partition that cannot be looked at is left out.
    fn read_partition<B: ByteBuf>(&mut self, topic: &str, buf: &mut B) -> Result<()> {
        let partition = buf.try_get_i32()?;
        let _start = buf.try_get_i64()?;
        let _leader_epoch = buf.try_get_i32()?;
        let lag = buf.try_get_i64()?;
        let code = buf.try_get_i16()?;
        let _words = text(buf)?;
        if code == 0 {
            self.lags.insert((topic.to_owned(), partition), lag);
        }
        skip_tags(buf)
    }
}

/// Seven bits a byte, the lowest first.
fn varint<B: ByteBuf>(buf: &mut B) -> Result<usize> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = buf.try_get_u8()?;
        value |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number of more than 32 bits")
}

/// The length of an array or a text, which is written one too large; nothing is as long as null.
fn length<B: ByteBuf>(buf: &mut B) -> Result<usize> {
    Ok(varint(buf)?.saturating_sub(1))
}

fn text<B: ByteBuf>(buf: &mut B) -> Result<String> {
    let length = length(buf)?;
    Ok(String::from_utf8_lossy(&buf.try_get_bytes(length)?).into_owned())
}

/// What later versions may add.
fn skip_tags<B: ByteBuf>(buf: &mut B) -> Result<()> {
    for _ in 0..varint(buf)? {
        let _tag = varint(buf)?;
        let size = varint(buf)?;
        buf.try_get_bytes(size)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Throttle time, one group "g", one topic "t" with partition 2 (lag 5) and partition 3 (refused), group's code.
    fn answer(code: i16) -> Vec<u8> {
        let partition = |number: i32, lag: i64, code: i16| {
            let mut bytes = number.to_be_bytes().to_vec();
            bytes.extend(7_i64.to_be_bytes());
            bytes.extend(0_i32.to_be_bytes());
            bytes.extend(lag.to_be_bytes());
            bytes.extend(code.to_be_bytes());
            // No words, and a tagged field of two bytes.
            bytes.extend([0, 1, 200, 1, 2, 9, 9]);
            bytes
        };
        let mut bytes = vec![0, 0, 0, 0, 2, 2, b'g', 2, 2, b't'];
        bytes.extend([1; 16]);
        bytes.push(3);
        bytes.extend(partition(2, 5, 0));
        bytes.extend(partition(3, -1, 3));
        bytes.push(0);
        bytes.extend(code.to_be_bytes());
        bytes.extend([3, b'n', b'o', 0, 0]);
        bytes
    }

    #[test]
    fn lags_are_read_by_partition() {
        let response = LagResponse::decode(&mut Bytes::from(answer(0)), 1).unwrap();
        assert_eq!(response.lags, BTreeMap::from([(("t".to_owned(), 2), 5)]));
        assert_eq!(response.refused, None);
        let refused = LagResponse::decode(&mut Bytes::from(answer(69)), 1).unwrap().refused;
        assert_eq!(refused, Some((69, "no".to_owned())));
    }

    #[test]
    fn answers_that_are_cut_are_errors() {
        let whole = answer(0);
        for length in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            assert!(LagResponse::decode(&mut cut.clone(), 1).is_err(), "{length} bytes");
        }
    }
}
