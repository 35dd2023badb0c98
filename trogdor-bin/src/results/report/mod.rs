//! The report: one HTML page of a bundle that opens anywhere, offline, and refers to nothing outside. All
//! figures are computed here; the page's script draws them.

mod figures;
mod heat;
mod timeline;
mod view;

use std::time::Duration;

use trogdor_core::measure::NotAHistogram;

use super::Bundle;
use view::View;

/// The page. Each `{{NAME}}` stands for one of the parts.
const PAGE: &str = include_str!("page.html");
/// What is put into it; the data come last, so that nothing in them is taken for a name.
const PARTS: [(&str, &str); 7] = [
    ("{{UPLOT_LICENSE}}", include_str!("vendor/uplot/LICENSE")),
    ("{{UPLOT_CSS}}", include_str!("vendor/uplot/uPlot.min.css")),
    ("{{CSS}}", include_str!("page.css")),
    ("{{UPLOT_JS}}", include_str!("vendor/uplot/uPlot.iife.min.js")),
    ("{{TEXT_JS}}", include_str!("text.js")),
    ("{{CHARTS_JS}}", include_str!("charts.js")),
    ("{{MAIN_JS}}", include_str!("main.js")),
];
const DATA: &str = "{{DATA}}";

/// The page of a bundle, its figures without what was recorded while tasks warmed up.
///
/// # Errors
/// A histogram cannot be read.
pub fn report(bundle: &Bundle, warm_up: Duration) -> Result<String, NotAHistogram> {
    let view = View::of(bundle, warm_up)?;
    let data = serde_json::to_string(&view).expect("it is made of texts, numbers and maps with text keys");
    let page = PARTS.iter().fold(PAGE.to_owned(), |page, (name, part)| page.replace(name, part));
    Ok(page.replace(DATA, &escaped(&data)))
}

/// JSON that may stand in a script element: nothing in it ends the element or begins another. Outside of texts
/// JSON has none of these characters.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text += &format!("\\u{:04x}", character as u32),
            other => text.push(other),
        }
    }
    text
}

/// A number with so many digits after the point.
fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};
    use trogdor_core::measure::{Interval, Latencies, Recording, counts, figures};
    use trogdor_core::messages::NodesResponse;
    use trogdor_core::{NodeName, Spec, TaskId, TaskState};

    use super::*;
    use crate::results::BundledTask;

    /// When all of it happened.
    const START_MS: i64 = 1_000_000;

    pub(in super::super) fn bundle<const N: usize>(tasks: [(&str, BundledTask); N]) -> Bundle {
        let tasks = tasks.into_iter().map(|(id, task)| (TaskId::from(id), task)).collect();
        Bundle::new(tasks, NodesResponse::default(), START_MS + 20_000)
    }

    /// A task that recorded an interval each second: 100 samples of the same latency, two failed records.
    pub(super) fn task(from_s: i64, seconds: i64, latency_us: u64) -> BundledTask {
        let mut latencies = Latencies::new();
        latencies.record_many_ns(latency_us * 1000, 100);
        let mut recording = Recording::default();
        for second in from_s..from_s + seconds {
            let interval = Interval::new(START_MS + second * 1000, 1000);
            let interval = interval
                .with_count(counts::DELIVERED, 100)
                .with_count(counts::FAILED, u64::from(second < 10));
            recording.push(interval.with_latencies(figures::RESPONSE_TIME, &latencies));
        }
        recorded(recording, from_s, from_s + seconds)
    }

    fn recorded(recording: Recording, from_s: i64, to_s: i64) -> BundledTask {
        let state = done(json!({"totalSent": 1}), from_s, to_s);
        BundledTask { is_fault: false, state, recordings: [(NodeName::from("node0"), recording)].into() }
    }

    fn done(status: Value, from_s: i64, to_s: i64) -> TaskState {
        TaskState::Done {
            spec: Spec::from(json!({"class": "x", "bootstrapServers": "h:1"})),
            started_ms: START_MS + from_s * 1000,
            done_ms: START_MS + to_s * 1000,
            error: String::new(),
            cancelled: false,
            status,
        }
    }

    /// A task that recorded nothing, and ran from the third second to the sixth.
    pub(super) fn told(status: Value, is_fault: bool) -> BundledTask {
        BundledTask { is_fault, state: done(status, 3, 6), recordings: [].into() }
    }

    /// A task of an hour with three histograms, each as wide as they come; the seconds of a column are joined
    /// already.
    pub(super) fn hour() -> BundledTask {
        const COLUMN_S: i64 = 5;
        let mut random = 1_u64;
        let mut recording = Recording::default();
        for column in 0..3600 / COLUMN_S {
            let mut latencies = Latencies::new();
            for _ in 0..500 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Most within a decade, a few of each longer one.
                let us = 700 + (random >> 52);
                latencies
                    .record_ns(1000 * if random >> 20 & 63 == 0 { us << (random >> 30 & 7) } else { us });
            }
            let interval = Interval::new(START_MS + column * COLUMN_S * 1000, COLUMN_S as u64 * 1000);
            let figures = [figures::RESPONSE_TIME, figures::SERVICE_TIME, figures::SCHEDULE_DELAY];
            let with = |interval: Interval, name| interval.with_latencies(name, &latencies);
            recording.push(figures.into_iter().fold(interval.with_count(counts::DELIVERED, 1000), with));
        }
        recorded(recording, 0, 3600)
    }

    #[test]
    fn the_page_is_whole_and_refers_to_nothing_outside() {
        let page = report(&bundle([("a", task(0, 10, 2000))]), Duration::ZERO).unwrap();
        assert!(!page.contains("{{") && page.contains("\"responseTime\""));
        for outside in ["src=", "href=", "@import", "url(", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
        for (name, part) in &PARTS {
            assert!(!part.contains("</script") && !part.contains("{{"), "{name} would break the page");
        }
    }

    #[test]
    fn no_text_of_a_user_leaves_the_data() {
        let id = "</script><img src=x onerror=alert(1)>\u{2028}<!--<script>{{CSS}}&";
        let page = report(&bundle([(id, task(0, 10, 2000))]), Duration::ZERO).unwrap();
        assert!(!page.contains("<img") && !page.contains('\u{2028}'));
        assert!(page.contains(r"\u003c/script\u003e\u003cimg src=x onerror=alert(1)\u003e\u2028\u003c!--"));
        assert!(page.contains("{{CSS}}\\u0026"), "names in the data are data");
    }
}
