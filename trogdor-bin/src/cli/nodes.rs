//! `trogdor client nodes`: what the coordinator knows of its nodes. A question of ours, which the
//! original cannot answer.

use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::messages::{NodeReport, NodesResponse};

use super::BAD_INPUT;
use super::answer::{Answer, Failure, one_line};
use super::format::table;
use super::peer::Peer;

/// Asks and tells.
pub(super) async fn nodes(api: &dyn CoordinatorApi, peer: Peer<'_>, json: bool) -> Result<Answer, Failure> {
    match api.nodes().await {
        Err(ApiError::NotFound(_)) => {
            let target = peer.target;
            let text = format!("the coordinator at {target} cannot list its nodes: it is not one of ours");
            Ok(Answer::failed(BAD_INPUT, [text]))
        }
        answer => {
            let found = answer?;
            Ok(if json { Answer::json(&found) } else { Answer::fine(text(&found)) })
        }
    }
}

/// The table, and below it why nodes are not reachable.
fn text(found: &NodesResponse) -> String {
    let head = ["NODE", "AGENT", "REACHABLE", "KIND", "VERSION", "ACTIVE_WORKERS", "CAPABILITIES"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(found.nodes.iter().map(|(name, report)| row(name.as_str(), report)));
    let errors = found.nodes.iter().filter(|(_, report)| !report.error.is_empty());
    errors.fold(table(&rows), |text, (name, report)| {
        text + &format!("Node {name} cannot be reached: {}\n", one_line(&report.error))
    })
}

fn row(name: &str, report: &NodeReport) -> [String; 7] {
    let reachable = match report.reachable {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    let kind = match report.kind.as_str() {
        "rust" => "ours",
        "java" => "Java",
        "" => "-",
        other => other,
    };
    let version = if report.version.is_empty() { "-" } else { &report.version };
    let workers = report.active_workers.to_string();
    let capabilities = capabilities(report);
    [name, &report.agent, reachable, kind, version, &workers, &capabilities].map(str::to_owned)
}

/// The classes without their name spaces, which are all alike.
fn capabilities(report: &NodeReport) -> String {
    let names: Vec<_> =
        report.capabilities.iter().map(|class| class.rsplit('.').next().unwrap_or(class)).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trogdor_core::NodeName;

    fn report(reachable: Option<bool>, kind: &str, version: &str, error: &str) -> NodeReport {
        let text = str::to_owned;
        NodeReport {
            agent: text("h:8888"),
            reachable,
            kind: text(kind),
            version: text(version),
            capabilities: match kind {
                "rust" => [text("x.y.ASpec"), text("y.z.BSpec")].into(),
                _ => Default::default(),
            },
            clock: None,
            error: text(error),
            active_workers: 2,
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let nodes = [
            ("a", report(Some(true), "rust", "0.1.0", "")),
            ("b", report(Some(true), "java", "", "")),
            ("c", report(Some(false), "", "", "connection\nrefused")),
            ("d", report(None, "", "", "")),
        ];
        let nodes = nodes.into_iter().map(|(name, report)| (NodeName::from(name), report)).collect();
        let expected = "\
NODE AGENT  REACHABLE KIND VERSION ACTIVE_WORKERS CAPABILITIES 
a    h:8888 yes       ours 0.1.0   2              ASpec,BSpec  
b    h:8888 yes       Java -       2              -            
c    h:8888 no        -    -       2              -            
d    h:8888 -         -    -       2              -            
Node c cannot be reached: connection refused
";
        assert_eq!(text(&NodesResponse { nodes }), expected);
    }
}
