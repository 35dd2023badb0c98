//! What came of tasks in the form that build servers read, JUnit XML: a test case for each task, for each verdict on its
//! figures and for each SLO. Only what this form has a place for; the bundle has it all.

use std::borrow::Cow;
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde_json::Value;
use trogdor_core::{TaskId, TaskState};

use super::slo::Outcome;
use crate::cli::{statuses, verdict};

/// One test case.
struct Case {
    /// Of which kind: `task`, `verdict` or `slo`.
    kind: &'static str,
    name: String,
    secs: f64,
    /// Why it failed, if it did: in a word, and at length.
    failure: Option<(String, String)>,
}

/// The document.
pub fn document<'t>(
    tasks: impl IntoIterator<Item = (&'t TaskId, &'t TaskState)>,
    outcomes: &[Outcome],
) -> String {
    let mut cases = Vec::new();
    for (id, state) in tasks {
        cases.push(of_task(id, state));
        cases.extend(of_verdicts(id, state));
    }
    cases.extend(outcomes.iter().map(of_slo));
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut writer, &cases).expect("memory takes all bytes");
    String::from_utf8(writer.into_inner()).expect("it was made of texts") + "\n"
}

fn of_task(id: &TaskId, state: &TaskState) -> Case {
    let early = |(_, status): (Option<&str>, &Value)| Some(status.get("endedEarly")?.as_str()?.to_owned());
    let failure = match state.error() {
        Some(error) => Some(("failed".to_owned(), error.to_owned())),
        None if !state.is_done() => Some(("unfinished".to_owned(), format!("it is {}", state.name()))),
        None => statuses(state).find_map(early).map(|text| ("incomplete".to_owned(), text)),
    };
    let has_run = state.is_done() && state.started_ms() >= 0;
    let ms = if has_run { state.done_ms().saturating_sub(state.started_ms()).max(0) } else { 0 };
    Case { kind: "task", name: id.to_string(), secs: ms as f64 / 1000.0, failure }
}

fn of_verdicts(id: &TaskId, state: &TaskState) -> Vec<Case> {
    let of_one = |(node, status)| {
        let verdict = verdict(status)?;
        let name = Option::map_or(node, id.to_string(), |node: &str| format!("{id} @ {node}"));
        let failure = (!verdict.is_valid()).then(|| (verdict.result.to_owned(), verdict.line()));
        Some(Case { kind: "verdict", name, secs: 0.0, failure })
    };
    statuses(state).filter_map(of_one).collect()
}

fn of_slo(outcome: &Outcome) -> Case {
    let failure = (!outcome.met).then(|| ("missed".to_owned(), outcome.line()));
    Case { kind: "slo", name: outcome.slo.clone(), secs: 0.0, failure }
}

fn write(writer: &mut Writer<Vec<u8>>, cases: &[Case]) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let tests = cases.len().to_string();
    let failures = cases.iter().filter(|case| case.failure.is_some()).count().to_string();
    let attributes = [("name", "trogdor"), ("tests", &tests), ("failures", &failures), ("errors", "0")];
    let suite = writer.create_element("testsuite").with_attributes(attributes);
    suite.write_inner_content(|writer| cases.iter().try_for_each(|case| write_case(writer, case)))?;
    Ok(())
}

fn write_case(writer: &mut Writer<Vec<u8>>, case: &Case) -> io::Result<()> {
    let (name, secs) = (legal(&case.name), format!("{:.3}", case.secs));
    let class = format!("trogdor.{}", case.kind);
    let attributes = [("classname", class.as_str()), ("name", &name), ("time", &secs)];
    let element = writer.create_element("testcase").with_attributes(attributes);
    let Some((kind, text)) = &case.failure else {
        element.write_empty()?;
        return Ok(());
    };
    let (kind, text) = (legal(kind), legal(text));
    element.write_inner_content(|writer| {
        // Line breaks in an attribute become blanks.
        let message = text.lines().collect::<Vec<_>>().join(" ");
        let failure = writer.create_element("failure");
        let failure = failure.with_attributes([("type", &*kind), ("message", &message)]);
        failure.write_text_content(BytesText::new(&text))?;
        Ok(())
    })?;
    Ok(())
}

/// The text without what XML 1.0 has no form for.
fn legal(text: &str) -> Cow<'_, str> {
    let is_legal = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    match text.chars().all(is_legal) {
        true => Cow::Borrowed(text),
        false => text.chars().map(|letter| if is_legal(letter) { letter } else { '\u{fffd}' }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quick_xml::{Reader, XmlVersion};
    use serde_json::json;
    use trogdor_core::Spec;

    use super::*;

    fn done(error: &str, status: Value) -> TaskState {
        let spec = Spec::from(json!({"class": "x"}));
        let error = error.to_owned();
        TaskState::Done { spec, started_ms: 1000, done_ms: 2500, error, cancelled: false, status }
    }

    fn slo(slo: &str, met: bool) -> Outcome {
        Outcome { slo: slo.to_owned(), met, found: Some(2.0), unit: "ms", note: None }
    }

    /// Elements with their attributes, and texts, as a parser sees them.
    fn parsed(document: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().check_end_names = true;
        let mut seen = Vec::new();
        loop {
            let event = reader.read_event().unwrap();
            match &event {
                Event::Start(element) | Event::Empty(element) => {
                    let attributes = element.attributes().map(|attribute| {
                        let attribute = attribute.unwrap();
                        let value = attribute.normalized_value(XmlVersion::Explicit1_0).unwrap();
                        (attribute.key.as_ref().to_owned(), value.into_owned())
                    });
                    seen.push((element.name().as_ref().to_owned(), attributes.collect()));
                }
                Event::Eof => return seen,
                _ => {}
            }
        }
    }

    #[test]
    fn every_task_verdict_and_slo_is_a_case() {
        let doubtful =
            json!({"totalSent": 1, "verdict": {"result": "under-sampled", "evidence": ["1 < 100"]}});
        let valid = json!({"totalSent": 1, "verdict": {"result": "valid", "evidence": []}});
        let early = json!({"totalSent": 1, "endedEarly": "after 1 of 2"});
        let running = TaskState::Running {
            spec: Spec::from(json!({"class": "x"})),
            started_ms: 1,
            status: Value::Null,
        };
        let tasks = [
            ("bad \"<&>'", done("]]> & \u{1b}[31m<b>\nü", json!(null))),
            ("early", done("", early)),
            ("fine", done("", json!({"node0": valid, "node1": doubtful}))),
            ("running", running),
        ];
        let tasks: BTreeMap<_, _> = tasks.into_iter().map(|(id, state)| (TaskId::from(id), state)).collect();
        let text = document(&tasks, &[slo("a.p99<5ms", true), slo("b.p99>=5ms", false)]);
        let seen = parsed(&text);
        let suite = [("name", "trogdor"), ("tests", "8"), ("failures", "5"), ("errors", "0")];
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(seen[0], ("testsuite".to_owned(), owned(&suite)));
        let cases: Vec<_> = seen[1..]
            .iter()
            .map(|(element, a)| match element.as_str() {
                "testcase" => format!("{} {:?} {}", a["classname"], a["name"], a["time"]),
                _ => format!("{element} {}: {}", a["type"], a["message"]),
            })
            .collect();
        let expected = [
            r#"trogdor.task "bad \"<&>'" 1.500"#,
            "failure failed: ]]> & \u{fffd}[31m<b> ü",
            r#"trogdor.task "early" 1.500"#,
            "failure incomplete: after 1 of 2",
            r#"trogdor.task "fine" 1.500"#,
            r#"trogdor.verdict "fine @ node0" 0.000"#,
            r#"trogdor.verdict "fine @ node1" 0.000"#,
            "failure under-sampled: under-sampled: 1 < 100",
            r#"trogdor.task "running" 0.000"#,
            "failure unfinished: it is RUNNING",
            r#"trogdor.slo "a.p99<5ms" 0.000"#,
            r#"trogdor.slo "b.p99>=5ms" 0.000"#,
            "failure missed: SLO b.p99>=5ms: MISSED, 2 ms",
        ];
        assert_eq!(cases, expected, "{text}");
    }
}
