//! An overview as lines of text. Texts of others lose their control characters, which a terminal would obey.

use trogdor_core::overview::{NodeBrief, TaskBrief};

use crate::cli::format::{duration, table};
use crate::observe::{Figures, View};

/// How many lines each list has at most, and how long texts are, characters.
const LINES_SHOWN: usize = 20;
const ID_LEN: usize = 40;
const WORDS_LEN: usize = 100;

/// All of it.
pub(super) fn of(view: &View, target: &str) -> String {
    let tasks = view.tasks;
    let up = duration(view.now_ms.saturating_sub(view.start_ms));
    let mut text = format!(
        "Coordinator {}, up {up}: {} running, {} stopping, {} pending, {} done\n",
        clean(target),
        tasks.running,
        tasks.stopping,
        tasks.pending,
        tasks.done
    );
    if !view.nodes.is_empty() {
        let head = ["NODE", "AGENT", "STATE", "KIND", "WORKERS", ""];
        text += &list(head, view.nodes.iter().map(|(name, node)| node_row(name.as_str(), node)));
    }
    let (faults, loads): (Vec<_>, Vec<_>) = view.active.iter().partition(|task| task.figures.is_fault);
    if !loads.is_empty() {
        let head =
            ["TASK", "CLASS", "STATE", "TIME", "DONE", "FAILED", "PER_SEC", "P50_MS", "P99_MS", "MAX_MS", ""];
        text += &list(head, loads.into_iter().map(|task| load_row(view.now_ms, task)));
    }
    if !faults.is_empty() {
        let head = ["FAULT", "CLASS", "STATE", "TIME", "NODES", ""];
        text += &list(head, faults.into_iter().map(|task| fault_row(view.now_ms, task)));
    }
    if !view.pending.is_empty() {
        let row = |task: &TaskBrief<Figures>| [name(task), class(task), duration(task.due_ms - view.now_ms)];
        text += &list(["PENDING", "CLASS", "STARTS_IN"], view.pending.iter().map(row));
    }
    if !view.ended.is_empty() {
        let head = ["ENDED", "CLASS", "RESULT", "AGO", "DONE", "FAILED", "PER_SEC", "P99_MS", ""];
        text += &list(head, view.ended.iter().map(|task| ended_row(view.now_ms, task)));
    }
    text
}

/// A text without control characters, as long as is shown.
pub(super) fn clean(text: &str) -> String {
    let shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shown.chars().filter(|character| !character.is_control()).collect()
}

fn cut(text: &str, len: usize) -> String {
    let text = clean(text);
    match text.char_indices().nth(len) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn list<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut all = vec![head.map(str::to_owned)];
    let rows: Vec<_> = rows.collect();
    let more = rows.len().saturating_sub(LINES_SHOWN);
    all.extend(rows.into_iter().take(LINES_SHOWN));
    let table = table(&all);
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    let more = (more > 0).then(|| format!("… and {more} more\n"));
    "\n".to_owned() + &lines.chain(more).collect::<String>()
}

fn node_row(name: &str, node: &NodeBrief) -> [String; 6] {
    let state = match node.reachable {
        Some(true) => "reachable",
        Some(false) => "UNREACHABLE",
        None => "-",
    };
    let kind = format!("{} {}", node.kind, node.version);
    let kind = if kind.trim().is_empty() { "-" } else { kind.trim() };
    let workers = node.active_workers.to_string();
    let [name, agent] = [cut(name, ID_LEN), cut(&node.agent, ID_LEN)];
    [name, agent, state.to_owned(), kind.to_owned(), workers, cut(&node.error, WORDS_LEN)]
}

fn load_row(now_ms: i64, task: &TaskBrief<Figures>) -> [String; 11] {
    let figures = &task.figures;
    let latency = figures.recent.as_ref().or(figures.latency.as_ref());
    [
        name(task),
        class(task),
        task.state.clone(),
        time(now_ms, task),
        count(figures.done),
        count(figures.failed),
        rate(figures.per_sec.or(figures.mean_per_sec)),
        ms(latency.map(|latency| latency.p50_us)),
        ms(latency.map(|latency| latency.p99_us)),
        ms(latency.and_then(|latency| latency.max_us)),
        words(task),
    ]
}

fn fault_row(now_ms: i64, task: &TaskBrief<Figures>) -> [String; 6] {
    let nodes: Vec<_> = task.nodes.iter().map(|node| node.as_str()).collect();
    let nodes = if nodes.is_empty() { "-".to_owned() } else { cut(&nodes.join(","), ID_LEN) };
    [name(task), class(task), task.state.clone(), time(now_ms, task), nodes, words(task)]
}

fn ended_row(now_ms: i64, task: &TaskBrief<Figures>) -> [String; 9] {
    let result = match (task.error.is_empty(), task.cancelled) {
        (false, _) => "FAILED",
        (true, true) => "CANCELLED",
        (true, false) => "FINISHED",
    };
    let figures = &task.figures;
    [
        name(task),
        class(task),
        result.to_owned(),
        duration(now_ms.saturating_sub(task.done_ms)),
        count(figures.done),
        count(figures.failed),
        rate(figures.mean_per_sec),
        ms(figures.latency.as_ref().map(|latency| latency.p99_us)),
        words(task),
    ]
}

fn name(task: &TaskBrief<Figures>) -> String {
    cut(task.id.as_str(), ID_LEN)
}

fn class(task: &TaskBrief<Figures>) -> String {
    let short = task.class.rsplit('.').next().unwrap_or_default();
    cut(short.strip_suffix("Spec").unwrap_or(short), ID_LEN)
}

/// How long it has run, and how long it may.
fn time(now_ms: i64, task: &TaskBrief<Figures>) -> String {
    let ran = duration(now_ms.saturating_sub(task.started_ms));
    format!("{ran}/{}", duration(task.duration_ms))
}

fn words(task: &TaskBrief<Figures>) -> String {
    let notes = task.figures.notes.iter().map(String::as_str);
    let all = [task.error.as_str()].into_iter().chain(notes).chain([task.figures.says.as_str()]);
    let all: Vec<_> = all.filter(|text| !text.is_empty()).collect();
    cut(&all.join("; "), WORDS_LEN)
}

fn count(count: Option<u64>) -> String {
    count.map_or("-".to_owned(), |count| count.to_string())
}

fn rate(per_sec: Option<f64>) -> String {
    per_sec.map_or("-".to_owned(), |rate| format!("{rate:.1}"))
}

fn ms(us: Option<u64>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.3}", us as f64 / 1000.0))
}

#[cfg(test)]
mod tests {
    use trogdor_core::overview::TaskCounts;
    use trogdor_core::{NodeName, TaskId};

    use super::*;
    use crate::observe::Latency;

    fn task(id: &str, class: &str, figures: Figures) -> TaskBrief<Figures> {
        TaskBrief {
            id: TaskId::from(id),
            class: format!("x.y.{class}"),
            state: "RUNNING".to_owned(),
            due_ms: 100_000,
            started_ms: 60_000,
            done_ms: 80_000,
            duration_ms: 600_000,
            workers: 1,
            nodes: vec![NodeName::from("node0")],
            figures,
            ..TaskBrief::default()
        }
    }

    fn view() -> View {
        let latency = |p99_us| Latency { what: "response".to_owned(), p50_us: 1000, p99_us, max_us: None };
        let load = Figures {
            done: Some(5000),
            failed: Some(0),
            per_sec: Some(99.94),
            mean_per_sec: Some(1.0),
            recent: Some(latency(2500)),
            latency: Some(latency(9000)),
            ..Figures::default()
        };
        let fault = Figures { is_fault: true, says: "stopped it".to_owned(), ..Figures::default() };
        let node = |reachable: Option<bool>, error: &str| NodeBrief {
            agent: "h:1".to_owned(),
            reachable,
            error: error.to_owned(),
            ..NodeBrief::default()
        };
        let mut failed = task("old", "NoOpTaskSpec", load.clone());
        failed.error = "bad\x1b[2J\nthing".to_owned();
        View {
            now_ms: 90_000,
            start_ms: 0,
            tasks: TaskCounts { pending: 1, running: 2, stopping: 0, done: 1 },
            nodes: [("a", node(Some(false), "refused")), ("b", node(None, ""))]
                .map(|(name, node)| (NodeName::from(name), node))
                .into(),
            active: vec![
                task("load\x07", "ProduceBenchSpec", load),
                task("cut", "ProcessStopFaultSpec", fault),
            ],
            pending: vec![task("later", "NoOpTaskSpec", Figures::default())],
            ended: vec![failed],
        }
    }

    #[test]
    fn all_that_is_known_stands_in_lines_that_a_terminal_does_not_obey() {
        let expected = "\
Coordinator h:8889, up 1m30s: 2 running, 0 stopping, 1 pending, 1 done

NODE AGENT STATE       KIND WORKERS
a    h:1   UNREACHABLE -    0       refused
b    h:1   -           -    0

TASK CLASS        STATE   TIME    DONE FAILED PER_SEC P50_MS P99_MS MAX_MS
load ProduceBench RUNNING 30s/10m 5000 0      99.9    1.000  2.500  -

FAULT CLASS            STATE   TIME    NODES
cut   ProcessStopFault RUNNING 30s/10m node0 stopped it

PENDING CLASS    STARTS_IN
later   NoOpTask 10s

ENDED CLASS    RESULT AGO DONE FAILED PER_SEC P99_MS
old   NoOpTask FAILED 10s 5000 0      1.0     9.000  bad[2J thing
";
        assert_eq!(of(&view(), "h:8889"), expected);
    }

    #[test]
    fn lists_are_cut_and_say_so() {
        let mut many = view();
        let later = || task("later", "NoOpTaskSpec", Figures::default());
        many.pending = (0..25).map(|_| later()).collect();
        let text = of(&many, "h:8889");
        assert!(text.contains("\n… and 5 more\n") && text.matches("later").count() == 20, "{text}");
        assert_eq!(cut(&"é".repeat(50), 3), "ééé…");
    }
}
