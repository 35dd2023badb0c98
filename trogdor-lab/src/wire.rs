//! The Kafka protocol as far as the lab speaks it: one request, one answer, old versions without compact forms. No
//! retry, no connection is kept.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Far more than any answer to the lab's requests.
const LARGEST: i32 = 1 << 20;

/// Sends one request and gives the body of the response, without the correlation id. `(api, version)`.
pub(crate) async fn call(
    stream: &mut TcpStream,
    (api, version): (i16, i16),
    body: &[u8],
) -> io::Result<Vec<u8>> {
    let client = b"trogdor-lab";
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((client.len() as i16).to_be_bytes());
    request.extend(client);
    request.extend(body);
    stream.write_i32(request.len() as i32).await?;
    stream.write_all(&request).await?;
    let length = stream.read_i32().await?;
    if !(4..LARGEST).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut response = vec![0; length as usize];
    stream.read_exact(&mut response).await?;
    Ok(response.split_off(4))
}

/// Reads the fields of an answer in turn; `None` where it is too short.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn int8(&mut self) -> Option<i8> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i8::from_be_bytes(*head))
    }

    pub(crate) fn int16(&mut self) -> Option<i16> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*head))
    }

    pub(crate) fn int32(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*head))
    }

    /// A list of numbers.
    pub(crate) fn int32s(&mut self) -> Option<Vec<i32>> {
        let count = self.int32()?;
        (0..count).map(|_| self.int32()).collect()
    }

    /// A string; a null is read as an empty one.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        let (head, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*head)).unwrap_or(0);
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

/// Puts a string into a request.
pub(crate) fn put_string(request: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("names in the lab are short");
    request.extend(length.to_be_bytes());
    request.extend(text.as_bytes());
}
