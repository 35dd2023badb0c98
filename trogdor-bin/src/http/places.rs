//! The places of a server's connections. There are so many and no more; but whoever holds one and has not asked for
//! anything yet gives way to a newcomer when all are taken, the one that has said nothing for longest first. So silence,
//! however much of it, keeps nobody out. Whose request is being answered is never sent away.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

/// All places of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    table: Mutex<Table>,
    /// A place may be free, or may become so.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    taken: usize,
    /// Grows with each entry in the two below, so that the first is the oldest.
    stamp: u64,
    /// Those of whom no request has come, at their start or since their last answer.
    silent: BTreeMap<u64, Arc<Notify>>,
    /// Those whose request has not come as a whole.
    sending: BTreeMap<u64, Arc<Notify>>,
    /// How many were told to leave and have not left yet.
    leaving: usize,
}

/// What the holder of a place is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Silent(u64),
    Sending(u64),
    Answered,
    /// The answer is in the connection's buffers.
    HandedOver,
    Leaving,
}

impl Places {
    pub(super) fn new(max: usize) -> Places {
        let (table, changed) = (Mutex::default(), Notify::new());
        Places { shared: Arc::new(Shared { max, table, changed }) }
    }

    /// Returns when a place is free. It is made free if somebody can give way.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut table = self.shared.lock();
                if table.taken < self.shared.max {
                    return;
                }
                // One at a time: there is one newcomer.
                if table.leaving == 0 {
                    table.send_away();
                }
            }
            changed.await;
        }
    }

    /// Sends one away who has said nothing, if there is one, since something else than places has run out.
    pub(super) fn make_room(&self) {
        self.shared.lock().send_away();
    }

    /// Takes a place; there is one after [`Places::room`].
    pub(super) fn take(&self) -> Place {
        let leave = Arc::new(Notify::new());
        let mut table = self.shared.lock();
        table.taken += 1;
        let stamp = table.next_stamp();
        table.silent.insert(stamp, leave.clone());
        drop(table);
        let stage = Mutex::new(Stage::Silent(stamp));
        Place { held: Arc::new(Held { shared: self.shared.clone(), leave, stage }) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    fn send_away(&mut self) {
        let oldest = self.silent.pop_first().or_else(|| self.sending.pop_first());
        if let Some((_, leave)) = oldest {
            self.leaving += 1;
            leave.notify_one();
        }
    }
}

/// A place that is taken. Clones are the same place; it is free when all are dropped.
#[derive(Debug, Clone)]
pub(super) struct Place {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    leave: Arc<Notify>,
    stage: Mutex<Stage>,
}

impl Place {
    /// Returns when its holder is to leave at once.
    pub(super) async fn given_up(&self) {
        self.held.leave.notified().await;
    }

    /// The head of a request has come. Does not return if the holder is to leave: a request is either not begun
    /// or answered.
    pub(super) async fn asked(&self) {
        if !self.held.go(|table, leave| {
            let stamp = table.next_stamp();
            table.sending.insert(stamp, leave);
            Stage::Sending(stamp)
        }) {
            std::future::pending::<()>().await;
        }
    }

    /// The request has come as a whole; tells whether its holder may stay for the answer.
    fn received(&self) -> bool {
        self.held.go(|_, _| Stage::Answered)
    }

    /// The answer is in the connection's buffers.
    pub(super) fn handed_over(&self) {
        self.held.go(|_, _| Stage::HandedOver);
    }

    /// The connection's buffers are empty. If an answer was in them, its reader may ask again.
    pub(super) fn flushed(&self) {
        if self.held.stage() == Stage::HandedOver {
            self.held.go(|table, leave| {
                let stamp = table.next_stamp();
                table.silent.insert(stamp, leave);
                Stage::Silent(stamp)
            });
        }
    }
}

impl Held {
    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes over to another stage, unless the holder is to leave.
    fn go(&self, enter: impl FnOnce(&mut Table, Arc<Notify>) -> Stage) -> bool {
        let mut table = self.shared.lock();
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if !left(&mut table, *stage) {
            *stage = Stage::Leaving;
            return false;
        }
        *stage = enter(&mut table, self.leave.clone());
        drop(table);
        // Who could not give way may be able to now.
        self.shared.changed.notify_one();
        true
    }
}

/// Takes a holder out of where the stage has put it; false if it was told to leave.
fn left(table: &mut Table, stage: Stage) -> bool {
    match stage {
        Stage::Silent(stamp) => table.silent.remove(&stamp).is_some(),
        Stage::Sending(stamp) => table.sending.remove(&stamp).is_some(),
        Stage::Answered | Stage::HandedOver => true,
        Stage::Leaving => false,
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let stage = *self.stage.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.shared.lock();
        if !left(&mut table, stage) {
            table.leaving = table.leaving.saturating_sub(1);
        }
        table.taken = table.taken.saturating_sub(1);
        drop(table);
        self.shared.changed.notify_one();
    }
}

/// The body of a request, which tells the place when it has come as a whole, or is not wanted any more.
#[derive(Debug)]
pub(super) struct Arriving<B> {
    body: B,
    /// `None` once it is told.
    place: Option<Place>,
}

impl<B: Body> Arriving<B> {
    pub(super) fn new(body: B, place: Place) -> Arriving<B> {
        let mut arriving = Arriving { place: Some(place), body };
        if arriving.body.is_end_stream() {
            arriving.has_come();
        }
        arriving
    }
}

impl<B> Arriving<B> {
    fn has_come(&mut self) -> bool {
        self.place.take().is_none_or(|place| place.received())
    }
}

impl<B: Body + Unpin> Body for Arriving<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_over = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        if is_over && !self.has_come() {
            // The connection is about to be dropped: nothing may be begun any more.
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.place.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        self.has_come();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use tokio::time::timeout;

    use super::*;

    async fn is_ready(what: impl Future<Output = ()>) -> bool {
        timeout(Duration::from_millis(1), what).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_silent_for_longest_gives_way_and_who_is_answered_stays() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| places.take());
        first.asked().await;
        assert!(first.received());
        second.asked().await;
        // One is being answered, one sends its request, one says nothing.
        assert!(!is_ready(places.room()).await);
        assert!(is_ready(third.given_up()).await);
        assert!(!is_ready(third.asked()).await, "it begins nothing any more");
        drop(third);
        assert!(is_ready(places.room()).await);

        let newcomer = places.take();
        newcomer.asked().await;
        assert!(!is_ready(places.room()).await);
        assert!(is_ready(second.given_up()).await, "it has been sending for longest");
        assert!(!is_ready(first.given_up()).await);
        drop(second);
        assert!(is_ready(places.room()).await);
        first.handed_over();
        first.flushed();
        let last = places.take();
        last.asked().await;
        assert!(!is_ready(places.room()).await);
        assert!(is_ready(first.given_up()).await, "it has its answer");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_answered_newcomers_wait() {
        let places = Places::new(1);
        let only = places.take();
        only.asked().await;
        let body = Arriving::new(Full::new(Bytes::from_static(b"{}")), only.clone());
        body.collect().await.unwrap();
        assert!(!is_ready(places.room()).await);
        only.handed_over();
        only.flushed();
        assert!(!is_ready(places.room()).await, "it leaves first");
        drop(only);
        assert!(is_ready(places.room()).await);
    }
}
