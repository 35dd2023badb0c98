//! Requests and their answers: tries, pauses, time-outs and sizes, all bounded. Which calls there
//! are is not known here.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use trogdor_core::Term;
use trogdor_core::api::ApiError;
use trogdor_core::json::{Kind, Object, read_lenient};

use super::budget::has_more_values;
use super::errors::from_answer;
use super::{JAVA_AGENT, LIFE, RUN_MS, TERM};
use crate::tls::{Connector, Party, Role, TlsProblem, alert_sentence};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("trogdor/", env!("CARGO_PKG_VERSION")));

/// Longest answer.
const ANSWER_LEN: usize = 64 << 20;

/// From this length on an answer is read away from the connections.
const LONG: usize = 64 << 10;

/// Most values in an answer: what takes some hundred bytes each while it is read.
const VALUES_MAX: usize = 4_000_000;

/// How many long answers are read at a time.
static LONG_READERS: Semaphore = Semaphore::const_new(2);

/// How long an unused connection is kept: shorter than any daemon keeps it, so that requests rarely
/// meet one that is being closed.
const IDLE: Duration = Duration::from_secs(10);

/// The pauses before the second, third, … try; the last one repeats. The original's 2 and 10 ms
/// cannot bridge a restart.
const PAUSES_MS: [u64; 5] = [2, 10, 100, 400, 500];

/// How a client deals with silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// Most attempts at one request. Only a request that met no daemon, or lost its answer, is tried
    /// again; one that was answered, or timed out, is not.
    pub max_tries: u32,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, on top of what a long poll asks for.
    pub answer_timeout: Duration,
}

impl Default for ClientOptions {
    /// For people: bridges the restart of a daemon, about half a second.
    fn default() -> ClientOptions {
        ClientOptions {
            max_tries: 5,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl ClientOptions {
    /// For a coordinator that asks its agents again anyway: a single try.
    pub fn once() -> ClientOptions {
        ClientOptions {
            max_tries: 1,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
        }
    }
}

/// A way to one daemon. Clones share their connections.
#[derive(Clone)]
pub(super) struct Http {
    client: Client<Connector, Full<Bytes>>,
    target: Arc<str>,
    options: ClientOptions,
    /// The term of the coordinator that asks.
    term: Option<Term>,
    tls: Option<Party>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("target", &self.target).field("options", &self.options).finish()
    }
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Bytes>,
    /// How long the daemon was asked to wait before it answers.
    pub(super) wait: Duration,
    /// What the request says about the length of a worker's run.
    pub(super) run_ms: Option<i64>,
    pub(super) life: Option<i64>,
    /// Whether the request is to be taken for one of a Java daemon.
    pub(super) as_java: bool,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Call {
        let wait = Duration::ZERO;
        Call { method, path: path.into(), body: None, wait, run_ms: None, life: None, as_java: false }
    }

    pub(super) fn get(path: impl Into<String>) -> Call {
        Call::new(Method::GET, path)
    }

    pub(super) fn with_body(mut self, body: String) -> Call {
        self.body = Some(Bytes::from(body));
        self
    }

    pub(super) fn waiting(mut self, wait: Duration) -> Call {
        self.wait = wait;
        self
    }
}

/// A try that brought nothing.
struct Failure {
    error: ApiError,
    /// Whether another try may bring more.
    again: bool,
}

impl Failure {
    fn lasting(error: ApiError) -> Failure {
        Failure { error, again: false }
    }
}

impl Http {
    /// A way to the daemon at a target; with TLS it must be one of this role.
    pub(super) fn new(target: &str, options: ClientOptions, role: Role, tls: Option<Party>) -> Http {
        let connector = Connector::new(options.connect_timeout, tls.clone().map(|party| (party, role)));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Http { client: builder.build(connector), target: Arc::from(target), options, term: None, tls }
    }

    /// The same connections and options, for another daemon.
    pub(super) fn to(&self, target: &str) -> Http {
        Http { target: Arc::from(target), ..self.clone() }
    }

    /// The same for a coordinator of this term.
    pub(super) fn in_term(&self, term: Term) -> Http {
        Http { term: Some(term), ..self.clone() }
    }

    /// Makes a call whose answer says nothing.
    pub(super) async fn tell(&self, call: Call) -> Result<(), ApiError> {
        self.send(call).await.map(drop)
    }

    /// Makes a call, and reads the answer along its table: fields that we do not know are dropped.
    pub(super) async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        call: Call,
        table: Kind,
    ) -> Result<T, ApiError> {
        let answer = self.send(call).await?;
        if answer.len() < LONG {
            return self.read(&answer, &table);
        }
        if has_more_values(&answer, VALUES_MAX) {
            return Err(self.unreadable(&format!("it has more than {VALUES_MAX} values")));
        }
        // Some at a time, since each takes a multiple of its length; and away from everybody else's calls.
        let Ok(turn) = LONG_READERS.acquire().await else {
            return Err(self.unreadable(&"nobody reads long answers any more"));
        };
        let http = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, also if nobody waits for it any more.
            let _turn = turn;
            http.read(&answer, &table)
        });
        reading.await.unwrap_or_else(|error| Err(self.unreadable(&error)))
    }

    fn read<T: DeserializeOwned>(&self, answer: &[u8], table: &Kind) -> Result<T, ApiError> {
        let value = read_lenient(answer, table).map_err(|problems| self.unreadable(&problems))?;
        serde_json::from_value(value).map_err(|error| self.unreadable(&error))
    }

    async fn send(&self, call: Call) -> Result<Bytes, ApiError> {
        let mut pauses = PAUSES_MS.into_iter();
        let mut pause_ms = 0;
        for _ in 1..self.options.max_tries {
            match self.attempt(&call).await {
                Err(Failure { again: true, .. }) => {}
                ended => return ended.map_err(|failure| failure.error),
            }
            pause_ms = pauses.next().unwrap_or(pause_ms);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        self.attempt(&call).await.map_err(|failure| failure.error)
    }

    async fn attempt(&self, call: &Call) -> Result<Bytes, Failure> {
        let limit = call.wait + self.options.connect_timeout + self.options.answer_timeout;
        let Ok(answer) = tokio::time::timeout(limit, self.exchange(call)).await else {
            let text = format!("no answer from {} within {} ms", self.target, limit.as_millis());
            return Err(Failure::lasting(ApiError::Unreachable(text)));
        };
        let (status, body) = answer?;
        if status.is_success() && status != StatusCode::NO_CONTENT {
            return Ok(body);
        }
        Err(match from_answer(status, &body) {
            Ok(error) => Failure::lasting(error),
            Err(text) => {
                let text = format!("no answer from {}: {text}", self.target);
                Failure { error: ApiError::Unreachable(text), again: true }
            }
        })
    }

    async fn exchange(&self, call: &Call) -> Result<(StatusCode, Bytes), Failure> {
        let request = self.request(call).map_err(Failure::lasting)?;
        let response = self.client.request(request).await.map_err(|error| self.silent(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LEN).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => {
                let text = format!("the answer of {} is longer than {ANSWER_LEN} bytes", self.target);
                Failure::lasting(ApiError::Failed(text))
            }
            None => self.silent(&*error),
        })?;
        Ok((status, body.to_bytes()))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, ApiError> {
        let name = if call.as_java { HeaderValue::from_static(JAVA_AGENT) } else { OUR_NAME };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("http://{}{}", self.target, call.path))
            .header(USER_AGENT, name)
            .header(ACCEPT, JSON);
        if let Some(run_ms) = call.run_ms {
            request = request.header(RUN_MS, run_ms);
        }
        if let Some(life) = call.life {
            request = request.header(LIFE, life);
        }
        if let Some(Term(term)) = self.term {
            request = request.header(TERM, term);
        }
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        let body = call.body.clone().unwrap_or_default();
        let bad = |_| ApiError::InvalidRequest(format!("{:?} is not HOST:PORT", self.target));
        request.body(Full::new(body)).map_err(bad)
    }

    fn silent(&self, error: &(dyn Error + 'static)) -> Failure {
        let (mut deepest, mut is_lasting) = (error, false);
        loop {
            if let Some(text) = alert_sentence(deepest, self.tls.as_ref()) {
                let text = format!("no answer from {}: {text}", self.target);
                return Failure::lasting(ApiError::Unreachable(text));
            }
            is_lasting |= deepest.downcast_ref().is_some_and(|problem: &TlsProblem| problem.is_lasting);
            is_lasting |=
                deepest.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::TimedOut);
            match deepest.source() {
                Some(source) => deepest = source,
                None => break,
            }
        }
        let text = format!("no answer from {}: {deepest}", self.target);
        Failure { error: ApiError::Unreachable(text), again: !is_lasting }
    }

    fn unreadable(&self, error: &dyn fmt::Display) -> ApiError {
        ApiError::Unreachable(format!("the answer of {} cannot be read: {error}", self.target))
    }
}

/// The table of an answer that only our own daemons give: they tell all that is known of it.
pub(super) const OURS: Kind = Kind::Any;

/// The table of an answer that is an object.
pub(super) fn object(table: &'static Object) -> Kind {
    Kind::Object(table)
}

/// A value as the original writes it.
pub(super) fn to_body(value: &impl serde::Serialize) -> String {
    trogdor_core::json::to_java_string(value)
}
