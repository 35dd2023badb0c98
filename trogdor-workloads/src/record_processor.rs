//! Record processors: what a consumer does with each batch besides counting. A processor in a spec
//! is an immutable value; what runs is started from it, one per consumer.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use trogdor_core::json::{Checker, Family, Field, Kind, Object, float_value};

/// The most buckets of a histogram.
const BUCKETS_MAX: i64 = 10_000_000;

const TIMESTAMP_FIELDS: &[Field] = &[
    Field::new("histogramMaxMs", Kind::Int, "0", "upper end of the histogram"),
    Field::new("histogramMinMs", Kind::Int, "0", "lower end of the histogram"),
    Field::new("histogramStepMs", Kind::Int, "", "width of a bucket; must not be 0"),
];

static TIMESTAMP: Object = Object::new("timestamp record processor", TIMESTAMP_FIELDS).checked(check);

/// Field tables of record processors.
pub static RECORD_PROCESSOR: Family =
    Family { name: "record processor", tag: "type", members: &[("timestamp", &TIMESTAMP)] };

fn check(map: &Map<String, Value>, checker: &mut Checker<'_>) {
    if map.get("histogramStepMs").and_then(Value::as_i64).unwrap_or(0) == 0 {
        checker.refuse("histogramStepMs", "histogramStepMs must not be 0: it is the width of a bucket");
    }
}

/// What to do with each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RecordProcessor {
    /// Measures the age of records whose values begin with the time of their making, as the
    /// timestamp payload generators write it.
    Timestamp {
        /// Upper end of the histogram, milliseconds.
        #[serde(default)]
        histogram_max_ms: i32,
        /// Lower end of the histogram, milliseconds.
        #[serde(default)]
        histogram_min_ms: i32,
        /// Width of a bucket, milliseconds.
        #[serde(default)]
        histogram_step_ms: i32,
    },
}

impl RecordProcessor {
    /// What is wrong with it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let RecordProcessor::Timestamp { histogram_max_ms, histogram_min_ms, histogram_step_ms } = *self;
        match (i64::from(histogram_max_ms) - i64::from(histogram_min_ms))
            .checked_div(histogram_step_ms.into())
        {
            Some(buckets) if (0..BUCKETS_MAX).contains(&buckets) => Vec::new(),
            _ => vec![format!(
                "recordProcessor: a histogram from {histogram_min_ms} to {histogram_max_ms} ms in steps of \
                 {histogram_step_ms} ms cannot be kept; it needs 1 to {BUCKETS_MAX} buckets"
            )],
        }
    }

    /// The running form.
    pub(crate) fn start(&self) -> Ages {
        let RecordProcessor::Timestamp { histogram_max_ms, histogram_min_ms, histogram_step_ms } = *self;
        let (min_ms, step_ms) = (i64::from(histogram_min_ms), i64::from(histogram_step_ms));
        let buckets =
            (i64::from(histogram_max_ms) - min_ms).checked_div(step_ms).unwrap_or(0).clamp(0, BUCKETS_MAX);
        Ages {
            min_ms,
            step_ms: step_ms.max(1),
            counts: vec![0; buckets as usize + 1],
            skipped: 0,
            negative: 0,
        }
    }
}

/// Ages of records in buckets of equal width.
#[derive(Debug, Clone)]
pub(crate) struct Ages {
    min_ms: i64,
    step_ms: i64,
    counts: Vec<u64>,
    skipped: u64,
    negative: u64,
}

impl Ages {
    /// Takes a record's value, read at a time of the wall clock.
    pub(crate) fn take(&mut self, value: Option<&[u8]>, now_ms: i64) {
        let Some(stamp) = value.and_then(|value| value.first_chunk::<8>()) else {
            self.skipped += 1;
            return;
        };
        let age_ms = now_ms.wrapping_sub(i64::from_le_bytes(*stamp));
        self.negative += u64::from(age_ms < 0);
        let last = self.counts.len() - 1;
        let bucket = age_ms.saturating_sub(self.min_ms) / self.step_ms;
        self.counts[usize::try_from(bucket).map_or(0, |bucket| bucket.min(last))] += 1;
    }

    /// Adds what another consumer saw; both are from the same spec.
    pub(crate) fn add(&mut self, other: &Ages) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.skipped += other.skipped;
        self.negative += other.negative;
    }

    /// The original's fields, and what it keeps silent about.
    pub(crate) fn status(&self) -> AgesStatus {
        let samples: u64 = self.counts.iter().sum();
        let weighted: f64 =
            self.counts.iter().enumerate().map(|(bucket, count)| bucket as f64 * *count as f64).sum();
        let mean = if samples == 0 { 0.0 } else { weighted / samples as f64 };
        AgesStatus {
            average_latency_ms: (mean * self.step_ms as f64 + self.min_ms as f64) as f32,
            p50_latency_ms: self.at(0.5, samples),
            p95_latency_ms: self.at(0.95, samples),
            p99_latency_ms: self.at(0.99, samples),
            records: samples,
            records_without_timestamp: self.skipped,
            negative_ages: self.negative,
        }
    }

    fn at(&self, quantile: f64, samples: u64) -> i64 {
        let rank = ((samples as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= rank
        };
        let bucket = self.counts.iter().position(reaches).unwrap_or(0);
        bucket as i64 * self.step_ms + self.min_ms
    }
}

/// What a timestamp processor tells.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgesStatus {
    /// Mean age, milliseconds.
    #[serde(serialize_with = "java_float")]
    pub average_latency_ms: f32,
    /// Median age, milliseconds, to the bucket.
    pub p50_latency_ms: i64,
    /// 95th percentile of the same.
    pub p95_latency_ms: i64,
    /// 99th percentile of the same.
    pub p99_latency_ms: i64,
    /// Records that were measured.
    pub records: u64,
    /// Records whose value is too short to hold a time.
    pub records_without_timestamp: u64,
    /// Records that seem to come from the future: the clocks of the hosts differ. In the lowest bucket.
    pub negative_ages: u64,
}

/// As the original writes a 32-bit float.
pub(crate) fn java_float<S: Serializer>(float: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    float_value(*float).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ages() -> Ages {
        let processor =
            RecordProcessor::Timestamp { histogram_max_ms: 100, histogram_min_ms: 0, histogram_step_ms: 10 };
        assert_eq!(processor.problems(), [""; 0]);
        processor.start()
    }

    #[test]
    fn ages_fall_into_buckets_and_are_clipped_at_the_ends() {
        let mut ages = ages();
        for age_ms in [5, 15, 25, 1000, -7] {
            ages.take(Some(&(1_000_000_i64 - age_ms).to_le_bytes()), 1_000_000);
        }
        ages.take(Some(b"short"), 1_000_000);
        ages.take(None, 1_000_000);
        let status = ages.status();
        assert_eq!((status.records, status.records_without_timestamp, status.negative_ages), (5, 2, 1));
        assert_eq!((status.p50_latency_ms, status.p99_latency_ms), (10, 100));
    }

    #[test]
    fn without_samples_all_is_the_lower_end() {
        let processor =
            RecordProcessor::Timestamp { histogram_max_ms: 50, histogram_min_ms: 7, histogram_step_ms: 1 };
        let status = processor.start().status();
        assert_eq!((status.average_latency_ms, status.p50_latency_ms, status.p99_latency_ms), (7.0, 7, 7));
    }

    #[test]
    fn histograms_that_cannot_be_kept_are_problems() {
        for (max, min, step) in [(0, 5, 1), (i32::MAX, i32::MIN, 1), (10, 0, 0), (10, 0, -1)] {
            let processor = RecordProcessor::Timestamp {
                histogram_max_ms: max,
                histogram_min_ms: min,
                histogram_step_ms: step,
            };
            assert_eq!(processor.problems().len(), 1, "{processor:?}");
            processor.start().take(Some(&[0; 8]), 5);
        }
    }
}
