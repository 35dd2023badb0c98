//! Asking where logs end, in bounded time. Whoever asks serves its client meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

use super::{Ends, Place, TopicEnds, known};
use crate::clock::{Stopwatch, sleep};
use crate::native::{Answer, LogEnd, LogEnds, TopicNow};

/// How long brokers may take to tell the ends of all logs.
const LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to find a broker to ask.
const LEADER_LIMIT: Duration = Duration::from_millis(500);
/// Between a look that did not settle it and the next.
const PAUSE: Duration = Duration::from_millis(100);
/// No look begins with less time than this.
const LEAST: Duration = Duration::from_millis(300);
/// How long one step waits for an answer.
const STEP: Duration = Duration::from_millis(20);
/// Partitions of one question: the client compares each with each.
const PARTITIONS_MAX: usize = 500;

/// Why an end is not known that nobody told.
const NO_ANSWER: &str = "no answer in time";

type Topics = BTreeMap<String, Result<TopicNow, String>>;

/// Looks at the ends of the logs of some places until that is settled, or until its time is over, and gives the last
/// look of those that told most. `serve` serves the client's own events and tells whether to go on.
pub(in crate::producing) fn read<'p, C: ClientContext>(
    client: &Client<C>,
    places: impl Iterator<Item = &'p Place> + Clone,
    mut serve: impl FnMut() -> bool,
    is_settled: impl Fn(&Ends) -> bool,
) -> Ends {
    let watch = Stopwatch::start();
    let left = || LIMIT.saturating_sub(Duration::from_nanos(watch.elapsed_ns()));
    let mut best = unanswered(places.clone());
    while left() >= LEAST && serve() {
        let mut look = Look { ends: LogEnds::new(client), left: &left, serve: &mut serve };
        let now = look.at(places.clone());
        if known(&now) >= known(&best) {
            best = now;
        }
        if is_settled(&best) {
            break;
        }
        sleep(PAUSE.min(left()));
    }
    best
}

/// What is known if nobody answers.
fn unanswered<'p>(places: impl Iterator<Item = &'p Place>) -> Ends {
    places.map(|(topic, _)| (topic.clone(), Err(NO_ANSWER.to_owned()))).collect()
}

struct Look<'c, 'l, C: ClientContext, L, S> {
    ends: LogEnds<'c, C>,
    left: &'l L,
    serve: &'l mut S,
}

impl<C: ClientContext, L: Fn() -> Duration, S: FnMut() -> bool> Look<'_, '_, C, L, S> {
    /// Which topics there are, then the ends of their partitions, all at once.
    fn at<'p>(&mut self, places: impl Iterator<Item = &'p Place> + Clone) -> Ends {
        let mut ends = unanswered(places.clone());
        match self.topics(&ends) {
            Ok(topics) => {
                places.for_each(|place| name_partitions(&mut ends, place, &topics));
                self.ask_ends(&mut ends);
            }
            Err(reason) => ends.values_mut().for_each(|topic| *topic = Err(reason.clone())),
        }
        ends
    }

    /// # Errors
    /// Why nothing is known of any topic.
    fn topics(&mut self, ends: &Ends) -> Result<Topics, String> {
        let Some(first) = ends.keys().next() else { return Ok(Topics::new()) };
        let broker = self.ends.leader(first, LEADER_LIMIT.min((self.left)()))?;
        self.ends.ask_topics(ends.keys().map(String::as_str), broker, self.question_limit())?;
        match self.answer()? {
            Some(Answer::Topics(topics)) => Ok(topics),
            _ => Err(NO_ANSWER.to_owned()),
        }
    }

    fn ask_ends(&mut self, ends: &mut Ends) {
        let all: Vec<_> = ends
            .iter()
            .filter_map(|(name, topic)| Some((name.as_str(), topic.as_ref().ok()?)))
            .flat_map(|(name, topic)| topic.ends.keys().map(move |partition| (name, *partition)))
            .collect();
        let limit = self.question_limit();
        let asked = all.chunks(PARTITIONS_MAX).map(|some| self.ends.ask_ends(some, limit));
        let questions = asked.filter(Result::is_ok).count();
        drop(all);
        for _ in 0..questions {
            match self.answer() {
                Ok(Some(Answer::Ends(some))) => enter(ends, some),
                Ok(Some(Answer::Topics(_))) => (),
                Ok(None) => return,
                // Which question it was the answer does not say; what others tell takes the place of it.
                Err(reason) => enter_failure(ends, &reason),
            }
        }
    }

    /// The next answer; none if there is no time for it.
    fn answer(&mut self) -> Result<Option<Answer>, String> {
        while (self.left)() > Duration::ZERO && (self.serve)() {
            if let Some(answer) = self.ends.answer(STEP) {
                return answer.map(Some);
            }
        }
        Ok(None)
    }

    /// An answer that some leader keeps back comes at this time with those of all others, and that is before the end.
    fn question_limit(&self) -> Duration {
        (self.left)() * 3 / 4
    }
}

/// Enters the partitions of a place, whose ends are to be asked for.
fn name_partitions(ends: &mut Ends, (topic, partition): &Place, topics: &Topics) {
    let now = match topics.get(topic) {
        Some(Ok(now)) => now,
        Some(Err(reason)) => {
            ends.insert(topic.clone(), Err(reason.clone()));
            return;
        }
        None => return,
    };
    let entry = ends.entry(topic.clone()).or_insert_with(|| Err(NO_ANSWER.to_owned()));
    if entry.is_err() {
        *entry = Ok(TopicEnds { id: now.id, ends: BTreeMap::new() });
    }
    let Ok(entry) = entry else { return };
    match partition {
        Some(partition) => entry.ends.extend([(*partition, Err(NO_ANSWER.to_owned()))]),
        None => {
            entry.ends.extend(now.partitions.iter().map(|partition| (*partition, Err(NO_ANSWER.to_owned()))))
        }
    }
}

fn enter(ends: &mut Ends, some: Vec<(String, i32, Result<LogEnd, String>)>) {
    for (topic, partition, end) in some {
        if let Some(Ok(topic)) = ends.get_mut(&topic) {
            topic.ends.insert(partition, end);
        }
    }
}

fn enter_failure(ends: &mut Ends, reason: &str) {
    for end in ends.values_mut().flatten().flat_map(|topic| topic.ends.values_mut()) {
        if end.as_ref().is_err_and(|text| text == NO_ANSWER) {
            *end = Err(reason.to_owned());
        }
    }
}
