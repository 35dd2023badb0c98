//! The body of an answer on its way out: in pieces, so that what a client has not taken yet is held here and not in the
//! connection's buffers, with its part of the memory for long answers and its word to the connection's place.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::budget::Share;
use super::places::Place;

/// How much is handed over at a time, bytes.
const PIECE: usize = 16 << 10;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Leaving<B> {
    body: B,
    /// What is left of the last frame.
    rest: Bytes,
    _share: Share,
    place: Place,
}

impl<B> Leaving<B> {
    pub(super) fn new(body: B, share: Share, place: Place) -> Leaving<B> {
        Leaving { body, rest: Bytes::new(), _share: share, place }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Leaving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl<B> Drop for Leaving<B> {
    fn drop(&mut self) {
        self.place.handed_over();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::super::places::Places;
    use super::*;

    #[tokio::test]
    async fn a_long_answer_leaves_in_pieces_and_as_it_was() {
        let text = Bytes::from((0..100_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
        let mut body = Leaving::new(Full::new(text.clone()), Share::default(), Places::new(1).take());
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            seen.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some((text.len() - seen.len()) as u64));
        }
        assert_eq!(seen, text);
        assert!(body.is_end_stream());
    }
}
