//! What a request takes: one table of verbs, and the rule for classes of tasks. Whoever has no
//! certificate because there is no TLS may do everything, as with the Java original. What is in no
//! table is refused unless it only looks, so a new endpoint that is forgotten here fails closed.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::{Method, StatusCode};
use serde_json::Value;
use trogdor_core::{Catalog, Spec, TaskId, TaskSpec, WorkerId};
use warp::Filter;

use super::errors::Refusal;
use crate::tls::{Identity, Role};

/// One kind of request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verb {
    method: Method,
    path: &'static str,
    /// Its name in the protocol.
    pub(super) name: &'static str,
    needs: Needs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// This role.
    Role(Role),
    /// What the class of the task needs, which the handler finds out; at least `load`.
    Class,
}

const fn verb(method: Method, path: &'static str, name: &'static str, needs: Needs) -> Verb {
    Verb { method, path, name, needs }
}

/// All that changes something.
static VERBS: [Verb; 8] = [
    verb(Method::POST, "/coordinator/task/create", "createTask", Needs::Class),
    verb(Method::PUT, "/coordinator/task/stop", "stopTask", Needs::Class),
    verb(Method::DELETE, "/coordinator/tasks", "destroyTask", Needs::Class),
    verb(Method::PUT, "/coordinator/shutdown", "shutdown", Needs::Role(Role::Exec)),
    verb(Method::POST, "/agent/worker/create", "createWorker", Needs::Class),
    verb(Method::PUT, "/agent/worker/stop", "stopWorker", Needs::Class),
    verb(Method::DELETE, "/agent/worker", "destroyWorker", Needs::Class),
    verb(Method::PUT, "/agent/shutdown", "shutdown", Needs::Role(Role::Exec)),
];

/// Whatever only looks.
static LOOK: Verb = verb(Method::GET, "", "look", Needs::Role(Role::Observe));

/// Whatever is in no table.
static UNKNOWN: Verb = verb(Method::OPTIONS, "", "unknown", Needs::Role(Role::Exec));

impl Verb {
    pub(super) fn of(method: &Method, path: &str) -> &'static Verb {
        let known = VERBS.iter().find(|verb| verb.method == *method && verb.path == path);
        let other = if matches!(*method, Method::GET | Method::HEAD) { &LOOK } else { &UNKNOWN };
        known.unwrap_or(other)
    }

    /// Whether it may change something.
    pub(super) fn changes(&self) -> bool {
        *self != LOOK
    }

    /// What it takes, for people: a role, or those among which the class of the task decides.
    pub(super) fn needed_text(&self) -> &'static str {
        match self.needs {
            Needs::Role(role) => role.name(),
            Needs::Class => "load, fault or exec, by the class of the task",
        }
    }

    /// The role without which there is no use in reading further.
    fn least(&self) -> Role {
        match self.needs {
            Needs::Role(role) => role,
            Needs::Class => Role::Load,
        }
    }
}

/// The one client property that names a program to run, where Kerberos is built in.
const PROGRAM: &str = "sasl.kerberos.kinit.cmd";

/// What creating, stopping and destroying a task of a class takes. Stopping is no less than creating:
/// whoever may not break something may not spoil the test of another either.
fn needed(spec: &Spec, typed: &dyn TaskSpec) -> Role {
    let runs_programs = typed.runs_programs() || names(spec.json(), PROGRAM);
    match (runs_programs, typed.is_fault()) {
        (true, _) => Role::Exec,
        (false, true) => Role::Fault,
        (false, false) => Role::Load,
    }
}

/// Whether this is a key anywhere in a document.
fn names(json: &Value, key: &str) -> bool {
    match json {
        Value::Object(map) => map.contains_key(key) || map.values().any(|value| names(value, key)),
        Value::Array(list) => list.iter().any(|value| names(value, key)),
        _ => false,
    }
}

/// Who sent a request, and what it turned out to be about. Travels with the request to its handler.
#[derive(Debug, Clone)]
pub(super) struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verb: &'static Verb,
    peer: Option<Arc<Identity>>,
    subject: Mutex<Subject>,
}

/// What a request is about, as far as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub(super) task: Option<TaskId>,
    pub(super) worker: Option<WorkerId>,
    pub(super) class: Option<String>,
    pub(super) denied: bool,
}

impl Caller {
    pub(super) fn new(verb: &'static Verb, peer: Option<Arc<Identity>>) -> Caller {
        Caller(Arc::new(Inner { verb, peer, subject: Mutex::default() }))
    }

    /// What is known so far.
    pub(super) fn subject(&self) -> Subject {
        self.locked().clone()
    }

    /// Whether the request may come as far as its handler.
    pub(super) fn may_enter(&self) -> Result<(), Refusal> {
        self.require(self.0.verb.least(), self.0.verb.name)
    }

    /// Whether the request may say in which term of a coordinator it is made: an agent obeys the latest,
    /// so whoever may say so may take it from its coordinator, with a mere look.
    pub(super) fn may_tell_term(&self) -> Result<(), Refusal> {
        self.require(Role::Coordinator, "a coordinator's term")
    }

    /// Notes the task that the request names.
    pub(super) fn about_task(&self, id: &TaskId) {
        self.locked().task = Some(id.clone());
    }

    /// Notes the worker that the request names.
    pub(super) fn about_worker(&self, id: WorkerId) {
        self.locked().worker = Some(id);
    }

    /// Whether the request may do this to a task of this spec.
    pub(super) fn may_touch(&self, spec: &Spec, catalog: &Catalog) -> Result<(), Refusal> {
        self.locked().class = Some(spec.class().to_owned());
        if self.0.peer.is_none() {
            return Ok(());
        }
        let (_, typed) = catalog.open(spec)?;
        self.require(needed(spec, &*typed), &format!("{} of {}", self.0.verb.name, spec.class()))
    }

    /// The one place where a role is held against what it is wanted for.
    fn require(&self, wanted: Role, what: &str) -> Result<(), Refusal> {
        let Some(peer) = &self.0.peer else { return Ok(()) };
        if peer.role.is_some_and(|role| role.covers(wanted)) {
            return Ok(());
        }
        self.locked().denied = true;
        let (name, had) = (&peer.name, peer.role_text());
        let text = format!("{what} takes role {wanted}, and {name:?} has {had}");
        Err(Refusal::new(StatusCode::FORBIDDEN, text))
    }

    fn locked(&self) -> MutexGuard<'_, Subject> {
        // Nothing panics while it is held.
        self.0.subject.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who sent the request. Routes that are served without a door (in tests) know nobody, and refuse
/// nothing: as without TLS.
pub(super) fn caller() -> impl Filter<Extract = (Caller,), Error = Infallible> + Clone + Send + Sync + 'static
{
    warp::ext::optional::<Caller>()
        .map(|caller: Option<Caller>| caller.unwrap_or_else(|| Caller::new(&UNKNOWN, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Option<Role>, method: Method, path: &str) -> Caller {
        let peer = Identity {
            name: "p".to_owned(),
            role,
            not_before_ms: 0,
            not_after_ms: 0,
            hosts: Vec::new(),
            issuer: String::new(),
        };
        Caller::new(Verb::of(&method, path), Some(Arc::new(peer)))
    }

    #[test]
    fn what_is_in_no_table_takes_the_highest_role_unless_it_only_looks() {
        for path in ["/new", "/coordinator/task/create/", "//agent/shutdown", "/agent/shutdown/"] {
            let refusal = caller(Some(Role::Fault), Method::PUT, path).may_enter().unwrap_err();
            assert_eq!(refusal.status, StatusCode::FORBIDDEN);
            assert!(caller(Some(Role::Exec), Method::PUT, path).may_enter().is_ok());
            assert!(caller(Some(Role::Observe), Method::GET, path).may_enter().is_ok());
        }
        assert!(caller(None, Method::GET, "/coordinator/status").may_enter().is_err());
        assert!(caller(Some(Role::Agent), Method::GET, "/agent/status").may_enter().is_err());
        assert!(Caller::new(&UNKNOWN, None).may_enter().is_ok());
    }

    #[test]
    fn a_class_tells_what_it_takes() {
        let catalog = trogdor::catalog().unwrap();
        let classes: Vec<_> = catalog
            .classes()
            .map(|class| {
                let (spec, typed) =
                    catalog.open(&catalog.read_spec(class.example.as_bytes()).unwrap()).unwrap();
                (class.class.rsplit('.').next().unwrap(), needed(&spec, &*typed))
            })
            .collect();
        let of = |role| -> Vec<&str> {
            classes.iter().filter(|(_, needed)| *needed == role).map(|(class, _)| *class).collect()
        };
        assert_eq!(of(Role::Exec), ["ExternalCommandSpec"]);
        let faults = of(Role::Fault);
        assert!(faults.contains(&"ProcessStopFaultSpec") && faults.len() == 7, "{faults:?}");
        assert!(of(Role::Load).contains(&"NoOpTaskSpec"));
        let kerberos = serde_json::json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "commonClientConf": {"sasl.kerberos.kinit.cmd": "/opt/kinit"},
        });
        let (spec, typed) = catalog.open(&Spec::from(kerberos)).unwrap();
        assert_eq!(needed(&spec, &*typed), Role::Exec);
    }

    #[test]
    fn a_refusal_names_the_role_that_was_wanted_and_the_one_there_is() {
        let caller = caller(Some(Role::Observe), Method::PUT, "/coordinator/task/stop");
        let refusal = caller.may_enter().unwrap_err();
        assert_eq!(refusal.message, "stopTask takes role load, and \"p\" has role observe");
        assert!(caller.subject().denied);
    }
}
