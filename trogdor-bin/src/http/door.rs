//! The door of a daemon: who comes in over a connection, what each request may do, and what is
//! written down about it. Without TLS everybody comes in.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::{Request, StatusCode};
use tracing::{debug, warn};
use trogdor_core::{Clock, SystemClock};

use super::TERM;
use super::audit::{Audit, Line, cut};
use super::complaints::Complaints;
use super::errors::Refusal;
use super::roles::{Caller, Verb};
use crate::tls::{Identity, Party, Standing, moment};

/// Who is let in, and where that is written down. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    tls: Option<Party>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    complaints: Arc<Complaints>,
}

impl Default for Door {
    fn default() -> Door {
        Door::new(None, Audit::default())
    }
}

impl Door {
    pub(crate) fn new(tls: Option<Party>, audit: Audit) -> Door {
        Door { tls, audit, clock: SystemClock::shared(), complaints: Arc::default() }
    }

    /// Whom the daemon is in TLS, if it speaks it.
    pub(super) fn tls(&self) -> Option<&Party> {
        self.tls.as_ref()
    }

    /// Says in the log who was not let in, unless it has said so of the same address within a minute.
    pub(super) fn complain(&self, address: SocketAddr, what: &str) {
        match self.complaints.note(address.ip(), self.clock.now().mono_ms) {
            Some(0) => warn!(peer = %address, "refused a connection{what}"),
            Some(left_out) => {
                warn!(peer = %address, left_out, "refused a connection{what}; others from there were not told of");
            }
            None => debug!(peer = %address, "refused a connection{what}"),
        }
    }

    /// Somebody has come in.
    pub(super) fn guest(&self, address: SocketAddr, peer: Option<Identity>) -> Guest {
        Guest { door: self.clone(), address, peer: peer.map(Arc::new), standing: None }
    }

    /// Somebody has come in by a certificate that was believed.
    pub(super) fn known_guest(&self, address: SocketAddr, peer: Identity, standing: Standing) -> Guest {
        Guest { standing: Some(standing), ..self.guest(address, Some(peer)) }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Guest {
    door: Door,
    address: SocketAddr,
    peer: Option<Arc<Identity>>,
    standing: Option<Standing>,
}

impl Guest {
    /// Looks at a request, and lets its handler know who sent it.
    pub(super) fn visit<B>(&self, request: &mut Request<B>) -> Visit {
        let verb = Verb::of(request.method(), request.uri().path());
        let caller = Caller::new(verb, self.peer.clone());
        request.extensions_mut().insert(caller.clone());
        let now_ms = self.door.clock.now().wall_ms;
        let refusal = self.in_time(now_ms).and_then(|()| caller.may_enter());
        let refusal = match request.headers().contains_key(TERM) {
            true => refusal.and_then(|()| caller.may_tell_term()).err(),
            false => refusal.err(),
        };
        let is_kept = verb.changes() || refusal.is_some();
        let line = Line {
            time: stamp(now_ms),
            peer: self.peer.as_ref().map(|peer| peer.name.clone()),
            role: self.peer.as_ref().and_then(|peer| peer.role).map(|role| role.name()),
            address: self.address.to_string(),
            verb: verb.name,
            task: None,
            worker: None,
            class: None,
            answer: None,
            denied: refusal.is_some(),
        };
        Visit { caller, refusal, line: is_kept.then_some((self.door.audit.clone(), line)) }
    }

    /// A connection may live longer than the certificate that opened it.
    fn in_time(&self, now_ms: i64) -> Result<(), Refusal> {
        match &self.peer {
            Some(peer) if peer.has_expired(now_ms) => {
                let text = format!("{peer} expired on {}; connect anew", moment(peer.not_after_ms));
                Err(Refusal::new(StatusCode::FORBIDDEN, text))
            }
            _ => self.is_believed(now_ms),
        }
    }

    /// It may have been revoked since, or its authority be believed no more.
    fn is_believed(&self, now_ms: i64) -> Result<(), Refusal> {
        let (Some(party), Some(standing)) = (self.door.tls(), &self.standing) else { return Ok(()) };
        standing.holds(party, now_ms).map_err(|reason| Refusal::new(StatusCode::FORBIDDEN, reason))
    }
}

/// When a request came, always with as many digits, so that lines sort.
fn stamp(ms: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or_default())
}

/// One request, until it is answered. One that is dropped without an answer is written down, too: it
/// may have done its work.
#[derive(Debug)]
pub(super) struct Visit {
    caller: Caller,
    refusal: Option<Refusal>,
    line: Option<(Audit, Line)>,
}

impl Visit {
    /// Why the request goes no further, if it does not.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.clone()
    }

    /// It was answered.
    pub(super) fn answered(mut self, status: StatusCode) {
        if let Some((_, line)) = &mut self.line {
            line.answer = Some(status.as_u16());
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((audit, mut line)) = self.line.take() else { return };
        let subject = self.caller.subject();
        line.task = subject.task.map(|task| cut(task.as_str()));
        line.worker = subject.worker.map(|worker| worker.0);
        line.class = subject.class.map(|class| cut(&class));
        line.denied |= subject.denied;
        audit.write(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Role;

    /// What the audit log says of one request by somebody whose certificate ends then.
    fn line(not_after_ms: i64, use_it: impl FnOnce(Visit)) -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let door = Door::new(None, Audit::to_file(&path).unwrap());
        let (name, role) = ("alice".to_owned(), Some(Role::Exec));
        let (hosts, issuer) = (Vec::new(), String::new());
        let peer = Identity { name, role, not_before_ms: 0, not_after_ms, hosts, issuer };
        let guest = door.guest("127.0.0.1:1".parse().unwrap(), Some(peer));
        let mut request = Request::put("/agent/shutdown").body(()).unwrap();
        use_it(guest.visit(&mut request));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_connection_does_not_outlive_the_certificate_that_opened_it() {
        let line = line(1_000_000, |visit| {
            let refusal = visit.refusal().unwrap();
            assert_eq!(refusal.status, StatusCode::FORBIDDEN);
            assert!(
                refusal.message.contains("(role exec) expired on 1970-01-01T00:16:40Z"),
                "{}",
                refusal.message
            );
            visit.answered(refusal.status);
        });
        assert_eq!((&line["denied"], &line["answer"]), (&true.into(), &403.into()));
    }

    #[test]
    fn only_a_coordinator_says_in_which_term_it_asks() {
        let door = Door::default();
        for role in [Role::Observe, Role::Exec, Role::Coordinator] {
            let (name, not_after_ms) = (role.name().to_owned(), i64::MAX);
            let (hosts, issuer) = (Vec::new(), String::new());
            let peer = Identity { name, role: Some(role), not_before_ms: 0, not_after_ms, hosts, issuer };
            let guest = door.guest("127.0.0.1:1".parse().unwrap(), Some(peer));
            let mut request = Request::get("/agent/watch").header(TERM, "9").body(()).unwrap();
            let visit = guest.visit(&mut request);
            assert_eq!(visit.refusal().is_none(), role == Role::Coordinator, "{role}");
        }
    }

    #[test]
    fn a_request_whose_sender_left_is_written_down_without_an_answer() {
        let line = line(i64::MAX, |visit| assert_eq!(visit.refusal(), None));
        assert_eq!((&line["verb"], &line["denied"]), (&"shutdown".into(), &false.into()));
        assert!(line["answer"].is_null() && line["time"].as_str().unwrap().len() == 24, "{line}");
    }
}
