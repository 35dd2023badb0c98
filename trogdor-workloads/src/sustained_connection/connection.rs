//! One connection: a client of its own, made when it is first used and again after a failure. How it
//! is used depends on its kind. It counts as open once a broker has answered.

mod consumer;
mod metadata;
mod producer;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::SustainedConnectionSpec;
use super::book::{Kind, Losses};
use super::crew::{Keep, Step};
use crate::client_config::Translated;
use crate::generators::{JavaRandom, Payloads};
use crate::hot_thread::StopFlag;
use crate::trouble::Troubles;
use consumer::Consumer;
use metadata::Metadata;
use producer::Producer;
use watch::Watch;

/// How long a thread waits for an answer. A slow broker, or one that is away, keeps no thread from
/// using other connections; that is how soon it is found that none of them works any more.
const PATIENCE: Duration = Duration::from_millis(30);

/// When to look again for an answer that was waited for so long: what is noticed late is so by an
/// eighth, or little.
fn pause(waited: Duration) -> Duration {
    (waited / 8).max(Duration::from_millis(20))
}

/// What all connections of a task share.
pub(super) struct Plan {
    pub(super) spec: SustainedConnectionSpec,
    /// By kind, of those that are wanted.
    pub(super) settings: [Option<Translated>; 3],
    /// Those of the topic: at least one if producers or consumers are wanted.
    pub(super) partitions: Vec<i32>,
    /// What producers send; they take turns.
    pub(super) source: Option<Mutex<Source>>,
    pub(super) losses: Losses,
}

/// The records of all producers together.
pub(super) struct Source {
    keys: Payloads,
    values: Payloads,
    position: i64,
}

impl Source {
    pub(super) fn new(keys: Payloads, values: Payloads) -> Source {
        Source { keys, values, position: 0 }
    }
}

/// A connection, open or not.
pub(super) struct Connection {
    plan: Arc<Plan>,
    kind: Kind,
    index: usize,
    random: JavaRandom,
    client: Option<Client>,
    is_open: bool,
}

enum Client {
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
    Metadata(Box<Metadata>),
}

/// How far a use came.
enum Progress {
    /// A broker answered; what is left to do, if something is, has to wait so long.
    Answered { rest: Option<Duration> },
    /// What was left is done too.
    Done,
    /// There is no answer yet, and nothing to do for so long.
    Pending(Duration),
}

/// Why a use came to nothing.
enum Gone {
    Stopped,
    Failed(String),
}

impl From<String> for Gone {
    fn from(cause: String) -> Gone {
        Gone::Failed(cause)
    }
}

impl Connection {
    /// A connection that is not open. The index tells it apart from all others of its task.
    pub(super) fn new(plan: Arc<Plan>, kind: Kind, index: usize) -> Connection {
        let random = JavaRandom::new(index as i64);
        Connection { plan, kind, index, random, client: None, is_open: false }
    }

    fn try_step(&mut self, flag: &StopFlag) -> Result<Progress, Gone> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.open()?,
        };
        match self.client.insert(client) {
            Client::Producer(producer) => producer.step(self.plan.source.as_ref(), self.is_open, flag),
            Client::Consumer(consumer) => consumer.step(flag),
            Client::Metadata(metadata) => metadata.step(flag),
        }
    }

    fn open(&mut self) -> Result<Client, String> {
        let Plan { spec, settings, partitions, losses, .. } = &*self.plan;
        let kind = self.kind;
        let first = settings[kind as usize].as_ref().ok_or("it has no settings")?;
        let settings = spec.numbered(first, kind, self.index + 1);
        let watch = Watch { troubles: Troubles::default(), lost: losses[kind as usize].clone() };
        let mut partitions = partitions.clone();
        shuffle(&mut partitions, &mut self.random);
        let partition = partitions.first().copied();
        Ok(match (kind, partition) {
            (Kind::Metadata, _) => {
                Client::Metadata(Box::new(Metadata::open(&settings, &spec.topic_name, watch)?))
            }
            (_, None) => return Err("the topic has no partitions".to_owned()),
            (Kind::Producer, Some(_)) => {
                Client::Producer(Box::new(Producer::open(settings, &spec.topic_name, partitions, watch)?))
            }
            (Kind::Consumer, Some(partition)) => {
                Client::Consumer(Box::new(Consumer::open(settings, &spec.topic_name, partition, watch)?))
            }
        })
    }
}

impl Keep for Connection {
    fn step(&mut self, flag: &StopFlag) -> Step {
        match self.try_step(flag) {
            Ok(Progress::Answered { rest }) => {
                Step::Answered { opened: !std::mem::replace(&mut self.is_open, true), rest }
            }
            Ok(Progress::Done) => Step::Done,
            Ok(Progress::Pending(pause)) => Step::Pending(pause),
            Err(Gone::Stopped) => Step::Stopped,
            Err(Gone::Failed(cause)) => {
                self.client = None;
                self.is_open = false;
                Step::Failed(cause)
            }
        }
    }
}

fn shuffle(partitions: &mut [i32], random: &mut JavaRandom) {
    for last in (1..partitions.len()).rev() {
        let other = random.next_below(i32::try_from(last + 1).unwrap_or(i32::MAX));
        partitions.swap(last, other as usize);
    }
}
