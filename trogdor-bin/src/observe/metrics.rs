//! Metrics in the text format of OpenMetrics. What is measured elsewhere becomes rows here, made anew for each
//! scrape; nothing is remembered.

use std::fmt;

use hyper::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use warp::reply::Response;

use super::answers::{self, unavailable};

/// What the text is, for its readers.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels of a sample.
pub(super) type Labels = Vec<(&'static str, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: Kind,
    samples: Vec<(Labels, f64)>,
}

/// The metrics of one scrape, in order.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Family>);

impl Rows {
    /// A value that goes up and down; the name is without its unit.
    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.add(Kind::Gauge, name, help, None, samples);
    }

    /// A count that only grows; the name is without `_total`.
    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.add(Kind::Counter, name, help, None, samples);
    }

    /// A value of a unit, which becomes the end of the name.
    pub(super) fn gauge_of(&mut self, unit: Unit, name: &'static str, help: &'static str, value: f64) {
        self.add(Kind::Gauge, name, help, Some(unit), alone(value));
    }

    /// A count of units that only grows.
    pub(super) fn counter_of(&mut self, unit: Unit, name: &'static str, help: &'static str, value: f64) {
        self.add(Kind::Counter, name, help, Some(unit), alone(value));
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let samples = samples.into_iter().collect();
        self.0.push(Family { name, help, unit, kind, samples });
    }
}

fn encode(kind: Kind, value: f64, sample: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        Kind::Gauge => ConstGauge::new(value).encode(sample),
        Kind::Counter => ConstCounter::new(value).encode(sample),
    }
}

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Family { name, help, unit, kind, samples } in &self.0 {
            let (gauge, counter) = (ConstGauge::new(0.0), ConstCounter::new(0.0));
            let kind_of = match kind {
                Kind::Gauge => gauge.metric_type(),
                Kind::Counter => counter.metric_type(),
            };
            let help = format!("{help}.");
            let mut family = encoder.encode_descriptor(name, &help, unit.as_ref(), kind_of)?;
            match samples.as_slice() {
                [(labels, value)] if labels.is_empty() => encode(*kind, *value, family)?,
                samples => {
                    for (labels, value) in samples {
                        encode(*kind, *value, family.encode_family(labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// One value without labels.
pub(super) fn alone(value: f64) -> [(Labels, f64); 1] {
    [(Labels::new(), value)]
}

/// One value for each of some names.
pub(super) fn by<'a, N: ToString + 'a, V: Copy + 'a>(
    label: &'static str,
    counts: impl IntoIterator<Item = (N, V)>,
    value: impl Fn(V) -> f64,
) -> Vec<(Labels, f64)> {
    counts.into_iter().map(|(name, count)| (vec![(label, name.to_string())], value(count))).collect()
}

/// What is answered to a scrape: these rows of a daemon of this role, or why there are none.
pub(super) fn answer(role: &'static str, rows: Result<Rows, String>, registry: &Registry) -> Response {
    match rows.map(|rows| text(role, rows, registry)) {
        Ok(Ok(metrics)) => answers::text(StatusCode::OK, CONTENT_TYPE, metrics),
        Ok(Err(error)) => unavailable(&error.to_string()),
        Err(reason) => unavailable(&reason),
    }
}

/// The text of a scrape: what the program is, the rows, and what the registry holds.
///
/// # Errors
/// None that is known: the text is written to memory.
fn text(role: &'static str, rows: Rows, registry: &Registry) -> Result<String, fmt::Error> {
    let mut scrape = Registry::default();
    let version = env!("CARGO_PKG_VERSION");
    let info = Info::new(vec![("version", version), ("role", role)]);
    scrape.register("trogdor_build", "What this program is", info);
    scrape.register_collector(Box::new(rows));
    let mut text = String::new();
    encode_registry(&mut text, &scrape)?;
    encode_registry(&mut text, registry)?;
    encode_eof(&mut text)?;
    Ok(text)
}
