//! `trogdor fault`: for a person at the console of a node. Shows what a fault would do there, what is
//! in force, and heals it. Talks to no daemon: the journals on disk say everything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use trogdor_core::{Catalog, Node, NodeName, TaskId, Topology};
use trogdor_faults::{InForce, Listed, Tools, default_state_base, fault_folders, heal, list};

use super::answer::Answer;
use super::out::Out;
use super::spec_argument::open_spec;
use super::{BAD_INPUT, FAILED, FINE};

/// Arguments of `trogdor fault`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Show what a fault would do here, what is in force, and heal it")]
#[command(infer_subcommands = true, infer_long_args = true)]
pub struct FaultArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Print what a fault would do to this machine as a node, step by step; changes nothing
    Plan {
        /// The spec: JSON, or the path of a file that holds it
        #[arg(value_name = "SPEC")]
        spec: String,
        /// The node that this machine is
        #[arg(short, long = "node-name", value_name = "NAME")]
        node: String,
        /// The platform file; without it there is only this node
        #[arg(short = 'c', long = "agent.config", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List the faults whose journals are on this machine, and look whether they are in force
    List {
        #[command(flatten)]
        place: Place,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Undo faults, all or those named, whether their agent lives or not; exit code 1 if anything is left
    Heal {
        /// The faults, as `list` names them; all if none is named
        #[arg(value_name = "FAULT")]
        faults: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
}

/// Where to look for journals.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// The state directory of one agent, or the one that holds those of all [default: /var/lib/trogdor for
    /// root, else trogdor below $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Place {
    fn folders(&self) -> Vec<PathBuf> {
        fault_folders(&self.state_dir.clone().unwrap_or_else(default_state_base))
    }
}

/// Runs `trogdor fault` and gives its exit code.
pub fn fault(args: &FaultArgs, catalog: &Catalog, out: &mut dyn Out) -> u8 {
    let answer = match &args.command {
        Command::Plan { spec, node, config } => plan(spec, node, config.as_ref(), catalog)
            .unwrap_or_else(|problems| Answer::failed(BAD_INPUT, problems)),
        Command::List { place, json } => list_all(place, *json),
        Command::Heal { faults, place } => heal_named(faults, place),
    };
    answer.print("trogdor fault", BAD_INPUT, out)
}

fn plan(spec: &str, node: &str, config: Option<&PathBuf>, catalog: &Catalog) -> Result<Answer, Vec<String>> {
    let spec = open_spec(spec, catalog, true)?;
    let (_, typed) = catalog.open(&spec).map_err(|problems| vec![problems.to_string()])?;
    let node = NodeName::from(node);
    let topology = match config {
        None => Topology::new([alone(&node)]),
        Some(file) => {
            let read = std::fs::read(file).map_err(|error| error.to_string());
            let read = read.and_then(|text| {
                Topology::from_platform_file(&text).map_err(|problems| problems.to_string())
            });
            Topology::clone(
                &*read.map_err(|error| vec![format!("platform file {}: {error}", file.display())])?,
            )
        }
    };
    topology.node(&node).map_err(|sentence| vec![sentence])?;
    let targets = typed.controller().map_err(|sentence| vec![sentence])?.targets(&topology);
    if !targets.contains(&node) {
        let names: Vec<_> = targets.iter().map(NodeName::as_str).collect();
        let text = format!("the fault does nothing on node \"{node}\"; its nodes are: {}", names.join(", "));
        return Err(vec![text]);
    }
    match typed.dry_run(&TaskId::from("plan"), &node, &topology) {
        None => Err(vec![format!("{} is no fault", spec.class())]),
        Some(text) => text.map(Answer::fine),
    }
}

/// A node of this machine, with the default ports.
fn alone(name: &NodeName) -> Node {
    let hostname = "localhost".to_owned();
    Node { name: name.clone(), hostname, tags: Vec::new(), config: BTreeMap::new() }
}

fn list_all(place: &Place, as_json: bool) -> Answer {
    let (mut faults, mut problems) = (Vec::new(), Vec::new());
    for folder in place.folders() {
        match list(&folder, &tools()) {
            Ok(listed) => faults.extend(listed),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Answer::failed(FAILED, problems);
    }
    if as_json {
        let all: Vec<_> = faults.iter().map(listed_json).collect();
        return Answer::fine(format!("{:#}\n", Value::from(all)));
    }
    if faults.is_empty() {
        return Answer::fine("No fault is in force on this machine.\n".to_owned());
    }
    Answer::fine(faults.iter().map(listed_text).collect::<String>())
}

fn listed_text(fault: &Listed) -> String {
    let head = match &fault.record {
        Err(error) => format!("{}: {error}\n", fault.fault),
        Ok(None) => format!("{}: begun, nothing applied\n", fault.fault),
        Ok(Some(record)) => {
            let agent = if fault.agent_lives { "its agent lives" } else { "its agent is gone" };
            let header = &record.header;
            let since = jiff::Timestamp::from_millisecond(header.since_ms).unwrap_or_default();
            format!("{}: task {} on node {}, since {since}, {agent}\n", fault.fault, header.task, header.node)
        }
    };
    let step = |(what, seen): &(String, Result<InForce, _>)| {
        let seen = match seen {
            Ok(InForce::Yes) => "in force".to_owned(),
            Ok(InForce::No) => "not in force".to_owned(),
            Ok(InForce::Partly(part)) => format!("in force in part: {part}"),
            Err(error) => format!("cannot tell: {error}"),
        };
        format!("  {what} ({seen})\n")
    };
    head + &fault.steps.iter().map(step).collect::<String>()
}

fn listed_json(fault: &Listed) -> Value {
    let record = fault.record.as_ref().ok().and_then(Option::as_ref);
    let steps = fault.steps.iter().map(|(what, seen)| match seen {
        Ok(seen) => json!({"what": what, "inForce": *seen != InForce::No}),
        Err(error) => json!({"what": what, "detail": error.to_string()}),
    });
    json!({
        "fault": fault.fault,
        "task": record.map(|record| record.header.task.as_str()),
        "node": record.map(|record| record.header.node.as_str()),
        "sinceMs": record.map(|record| record.header.since_ms),
        "agentLives": fault.agent_lives,
        "steps": steps.collect::<Vec<_>>(),
        "error": fault.record.as_ref().err().map(ToString::to_string),
    })
}

fn heal_named(names: &[String], place: &Place) -> Answer {
    let mut answer = Answer::told(FINE, "");
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for folder in place.folders() {
        match list(&folder, &tools()) {
            Ok(listed) => found.extend(listed.into_iter().map(|fault| {
                let path = folder.join(format!("{}.journal", fault.fault));
                (fault.fault, path)
            })),
            Err(error) => return Answer::failed(FAILED, [error.to_string()]),
        }
    }
    let known: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
    let unknown: Vec<_> = names.iter().filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        let known = if known.is_empty() { "none is here".to_owned() } else { known.join(", ") };
        return Answer::failed(
            BAD_INPUT,
            unknown.iter().map(|name| format!("no fault {name:?} (known: {known})")),
        );
    }
    found.retain(|(name, _)| names.is_empty() || names.contains(name));
    if found.is_empty() {
        answer.stdout = "No fault is in force on this machine.\n".to_owned();
    }
    for (name, path) in found {
        match heal(&path, &tools()) {
            Some(healed) if !healed.is_clean() => {
                answer.code = FAILED;
                answer.stdout += &format!("{name}: not clean: {}\n", healed.remains.join("; "));
            }
            _ => answer.stdout += &format!("{name}: healed\n"),
        }
    }
    answer
}

fn tools() -> Tools {
    Tools::new(std::env::current_exe().unwrap_or_default())
}
