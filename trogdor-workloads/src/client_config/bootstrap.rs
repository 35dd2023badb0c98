//! `bootstrap.servers`: the list as Java reads it, for librdkafka and for resolving. It deliberately
//! resolves nothing; that is the caller's, before a client is made.

use std::fmt;

/// Java's error when not one of the bootstrap servers has an address.
pub const NO_RESOLVABLE_BOOTSTRAP: &str = "No resolvable bootstrap urls given in bootstrap.servers";

/// A server's name or address and its port; displayed as `host:port`, or `[host]:port` for IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A host name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// Reads the entries of a `bootstrap.servers` list: `host:port`, each of which may carry a `PROTOCOL://`
/// prefix. The error holds one of Java's sentences per bad server.
pub(super) fn host_ports(urls: &[String]) -> Result<Vec<HostPort>, Vec<String>> {
    let mut servers = Vec::new();
    let mut problems = Vec::new();
    for url in urls {
        match host_port(url) {
            Ok(server) => servers.push(server),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(servers) } else { Err(problems) }
}

fn host_port(url: &str) -> Result<HostPort, String> {
    let (host, port) = split(url).ok_or_else(|| format!("Invalid url in bootstrap.servers: {url}"))?;
    let port = port.parse().map_err(|_| format!("Invalid port in bootstrap.servers: {url}"))?;
    // Java resolves an empty host to the loopback address.
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(HostPort { host: host.to_owned(), port })
}

/// Host and port of a url, after Java's pattern `(NAME://)?\[?HOST\]?:DIGITS`.
fn split(url: &str) -> Option<(&str, &str)> {
    let address = match url.split_once("://") {
        Some((protocol, rest)) if protocol.chars().all(|c| is_host_char(c) && c != ':') => rest,
        Some(_) => return None,
        None => url,
    };
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let port_is_digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (port_is_digits && host.chars().all(is_host_char)).then_some((host, port))
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-%._:".contains(c)
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
