//! Roles, and how a certificate carries one: as a URI among its alternative names,
//! `trogdor:role/load`. What each verb needs is said in one table, in `http/roles.rs`.

use std::fmt;

/// What its owner may do. Ordered: each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// The daemon of a node. It only answers, and may ask for nothing.
    Agent,
    /// Look: states, figures, the status of daemons
    Observe,
    /// Create, stop and destroy workloads
    Load,
    /// Those and faults
    Fault,
    /// Everything: programs of one's choice on the nodes, and the end of the daemons
    Exec,
    /// The coordinator of the agents. It may do everything there, and has its own table to keep.
    Coordinator,
}

/// How the names of roles begin in a certificate.
const PREFIX: &str = "trogdor:role/";

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 6] =
        [Role::Agent, Role::Observe, Role::Load, Role::Fault, Role::Exec, Role::Coordinator];

    /// Its name on the command line and in certificates.
    pub fn name(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Observe => "observe",
            Role::Load => "load",
            Role::Fault => "fault",
            Role::Exec => "exec",
            Role::Coordinator => "coordinator",
        }
    }

    /// Whether who has this role may do what another one is needed for.
    pub fn covers(self, needed: Role) -> bool {
        self != Role::Agent && self >= needed
    }

    /// Whether its owner listens, and so is known by the names of a host.
    pub fn is_daemon(self) -> bool {
        matches!(self, Role::Agent | Role::Coordinator)
    }

    /// How a certificate says it.
    pub(super) fn uri(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    pub(super) fn from_uri(uri: &str) -> Option<Role> {
        let name = uri.strip_prefix(PREFIX)?;
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_covers_those_below_it_and_an_agent_covers_nothing() {
        use Role::{Agent, Coordinator, Exec, Fault, Load, Observe};
        let ranks = [Observe, Load, Fault, Exec, Coordinator];
        for (at, role) in ranks.into_iter().enumerate() {
            assert!(ranks[..=at].iter().all(|needed| role.covers(*needed)));
            assert!(!ranks[at + 1..].iter().any(|needed| role.covers(*needed)));
            assert!(!Agent.covers(role) && role.covers(Agent));
            assert_eq!(Role::from_uri(&role.uri()), Some(role));
        }
        assert_eq!(Role::from_uri("trogdor:role/root"), None);
    }
}
