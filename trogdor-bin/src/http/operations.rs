//! Everything that the daemons answer, in one table: what metrics call a request, which methods a path
//! has, and what the description at `/openapi.json` says come from here. Who may ask is not in it: the
//! table of that, which fails closed, is in `roles.rs`.

mod table;

use hyper::Method;

pub(super) use table::OPERATIONS;

/// One of the two daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// `trogdor agent`.
    Agent,
    /// `trogdor coordinator`.
    Coordinator,
}

/// One method of one path.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Who answers it.
    pub(super) daemons: &'static [Daemon],
    pub(super) method: Method,
    /// Its path; one segment may be a name in braces.
    pub(crate) path: &'static str,
    /// Its name in the protocol, or what it would be.
    pub(super) name: &'static str,
    /// What it does, in a sentence.
    pub(super) summary: &'static str,
    pub(super) takes: &'static [Parameter],
    pub(super) body: Option<Payload>,
    pub(super) gives: Payload,
    /// The statuses of its refusals, each with a reason of the table in `openapi`.
    pub(super) refuses: &'static [u16],
}

/// A parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    /// `path`, `query` or `header`.
    pub(super) place: &'static str,
    pub(super) name: &'static str,
    /// The name of its schema.
    pub(super) schema: &'static str,
    pub(super) text: &'static str,
    pub(super) is_required: bool,
}

/// A body: its type, and the name of its schema if it is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) media_type: &'static str,
    pub(super) schema: &'static str,
}

/// The path of the table that stands for this one.
pub(crate) fn template(path: &str) -> Option<&'static str> {
    OPERATIONS.iter().map(|operation| operation.path).find(|template| matches(template, path))
}

/// What a daemon answers at a path, as the header `Allow` has it; `None` if it has no such path. A slash at the end
/// makes no difference, as for routes.
pub(super) fn allowed(daemon: Daemon, path: &str) -> Option<String> {
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let here = |operation: &&Operation| operation.daemons.contains(&daemon) && matches(operation.path, path);
    let methods: Vec<_> = OPERATIONS.iter().filter(here).map(|operation| operation.method.as_str()).collect();
    (!methods.is_empty()).then(|| methods.join(", "))
}

fn matches(template: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found => {}
            (Some(wanted), Some(found)) if wanted.starts_with('{') && !found.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_the_one_that_stands_for_it() {
        let rows = [
            ("/", Some("/")),
            ("/metrics", Some("/metrics")),
            ("/coordinator/tasks", Some("/coordinator/tasks")),
            ("/coordinator/tasks/foo", Some("/coordinator/tasks/{id}")),
            ("/coordinator/tasks/foo/wait", Some("/coordinator/tasks/{id}/wait")),
            ("/coordinator/tasks/", None),
            ("/coordinator/tasks/foo/wait/x", None),
            ("/coordinator/tasks/foo/bar", None),
            ("/live/app.js", Some("/live/{name}")),
            ("/etc/passwd", None),
            ("", None),
        ];
        for (path, expected) in rows {
            assert_eq!(template(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_has_the_methods_of_its_daemon() {
        let of = |daemon, path| allowed(daemon, path);
        assert_eq!(of(Daemon::Coordinator, "/coordinator/tasks").as_deref(), Some("DELETE, GET"));
        assert_eq!(of(Daemon::Coordinator, "/coordinator/tasks/").as_deref(), Some("DELETE, GET"));
        assert_eq!(of(Daemon::Coordinator, "/").as_deref(), Some("GET"));
        assert_eq!(of(Daemon::Agent, "/coordinator/tasks"), None);
        assert_eq!(of(Daemon::Agent, "/metrics").as_deref(), Some("GET"));
    }
}
