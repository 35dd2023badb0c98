//! Where a daemon listens. Whoever can reach a daemon can run commands on its machine, so without
//! TLS it listens beyond this machine only if somebody said so.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;
use trogdor_core::{Node, SystemClock};

use crate::http::{Audit, Door};
use crate::tls::{Party, Side, TlsArgs};

/// The options of both daemons that say where to listen.
#[derive(Debug, Clone, Default, Args)]
pub struct ListenArgs {
    /// Listen on this address instead of the one that follows from the node's host name
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,

    /// Listen on this port instead of the platform file's; 0 takes any free one
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,

    /// Who this daemon is in TLS
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Append a line of JSON to this file for each request that changes something or is refused
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,

    /// Allow anyone who can reach this machine to run commands on it: listen beyond loopback without TLS
    #[arg(long, env = "TROGDOR_INSECURE", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub insecure: bool,
}

impl ListenArgs {
    /// Whether the command line asks for a port or an address.
    pub(super) fn is_given(&self) -> bool {
        self.bind.is_some() || self.port.is_some()
    }

    /// Opens certificate and audit log.
    pub(super) fn open(&self, side: Side) -> Result<(Option<Party>, Door), String> {
        let tls = self.tls.open(side)?;
        if let Some(party) = &tls {
            party.look_at_files(SystemClock::shared().now().wall_ms);
        }
        let audit = self.audit_log.as_deref().map(Audit::to_file).transpose()?.unwrap_or_default();
        Ok((tls.clone(), Door::new(tls, audit)))
    }

    /// Where a daemon of this node listens; `file_port` is the platform file's, under the key `key`.
    pub(super) fn address(
        &self,
        node: &Node,
        key: &str,
        file_port: Option<u16>,
    ) -> Result<SocketAddr, String> {
        let Node { name, hostname, .. } = node;
        let Some(port) = self.port.or(file_port) else {
            return Err(format!(
                "the platform file excludes node \"{name}\" ({key} is not above 0); give --port"
            ));
        };
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let ip = self.bind.unwrap_or_else(|| loopback(hostname).unwrap_or(any));
        if !ip.is_loopback() && !self.insecure && !self.tls.is_given() {
            return Err(format!(
                "node \"{name}\" (host {hostname:?}) would listen on {ip} without TLS, open to anyone who can reach it; \
                 give it a certificate with --tls DIR (trogdor ca makes one), allow that with --insecure or \
                 TROGDOR_INSECURE=1, or stay local with --bind 127.0.0.1"
            ));
        }
        Ok(SocketAddr::new(ip, port))
    }
}

/// The address that a host name of this machine alone stands for. Names are not looked up: what a
/// resolver says today need not hold tomorrow.
fn loopback(hostname: &str) -> Option<IpAddr> {
    let name = hostname.trim().trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    name.parse().ok().filter(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(args: &ListenArgs, hostname: &str, file_port: Option<u16>) -> Result<String, String> {
        let node = Node { hostname: hostname.to_owned(), ..Node::local("node0", 8888) };
        args.address(&node, "trogdor.agent.port", file_port).map(|address| address.to_string())
    }

    #[test]
    fn loopback_names_stay_local_and_others_are_refused_unless_allowed() {
        let rows = [
            ("localhost", "127.0.0.1:8888"),
            ("LOCALHOST.", "127.0.0.1:8888"),
            ("node1.localhost", "127.0.0.1:8888"),
            ("127.0.0.2", "127.0.0.2:8888"),
            ("::1", "[::1]:8888"),
        ];
        for (hostname, expected) in rows {
            assert_eq!(address(&ListenArgs::default(), hostname, Some(8888)), Ok(expected.to_owned()));
        }
        let insecure = ListenArgs { insecure: true, ..ListenArgs::default() };
        for hostname in ["10.0.0.5", "node7.example.com", "localhost.example.com", ""] {
            let refusal = address(&ListenArgs::default(), hostname, Some(8888)).unwrap_err();
            assert!(refusal.contains("--insecure") && !refusal.contains('\n'), "{refusal}");
            assert_eq!(address(&insecure, hostname, Some(8888)), Ok("0.0.0.0:8888".to_owned()));
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let at =
            |ip: &str| ListenArgs { bind: Some(ip.parse().unwrap()), port: Some(0), ..ListenArgs::default() };
        assert_eq!(address(&at("127.0.0.1"), "10.0.0.5", Some(8888)), Ok("127.0.0.1:0".to_owned()));
        assert!(address(&at("0.0.0.0"), "localhost", Some(8888)).is_err());
    }

    #[test]
    fn an_excluded_node_needs_a_port() {
        let refusal = address(&ListenArgs::default(), "localhost", None).unwrap_err();
        assert_eq!(
            refusal,
            "the platform file excludes node \"node0\" (trogdor.agent.port is not above 0); give --port"
        );
    }
}
