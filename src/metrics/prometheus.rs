//! All numbers of a node, and how they are written out.

use std::fmt::{Display, Write};
use std::sync::Arc;

use super::registry::{Sample, Value};
use super::{HistogramView, NetMetrics, ReplicaMetrics, RuntimeMetrics, ServerMetrics, StorageMetrics};

/// What a node has counted since it started. Cheap to clone; the numbers go on counting.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// The doors.
    pub runtime: Arc<RuntimeMetrics>,
    /// Consensus, and the callers who wait for it.
    pub replica: Arc<ReplicaMetrics>,
    /// The log.
    pub storage: Arc<StorageMetrics>,
    /// The connections.
    pub net: Arc<NetMetrics>,
    /// The clients, if they are served.
    pub server: Arc<ServerMetrics>,
}

impl Metrics {
    /// The text format of Prometheus, version 0.0.4. Every name starts with `quorate_`.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        for (room, Sample { name, help, value }) in self.samples() {
            let name = format!("quorate_{room}_{name}");
            match value {
                Value::Counter(counter) => {
                    let name = format!("{name}_total");
                    write_head(&mut text, &name, "counter", help);
                    write_line(&mut text, &name, counter.get());
                }
                Value::Gauge(gauge) => {
                    write_head(&mut text, &name, "gauge", help);
                    write_line(&mut text, &name, gauge.get());
                }
                Value::Histogram(histogram) => {
                    let name = format!("{name}_seconds");
                    write_head(&mut text, &name, "histogram", help);
                    write_histogram(&mut text, &name, &histogram.snapshot());
                }
            }
        }
        text
    }

    /// Every number with the room that counts it.
    fn samples(&self) -> impl Iterator<Item = (&'static str, Sample<'_>)> {
        let rooms = [
            ("runtime", self.runtime.samples()),
            ("raft", self.replica.samples()),
            ("log", self.storage.samples()),
            ("net", self.net.samples()),
            ("server", self.server.samples()),
        ];
        rooms.into_iter().flat_map(|(room, samples)| samples.into_iter().map(move |sample| (room, sample)))
    }
}

fn write_head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn write_line(text: &mut String, name: &str, value: impl Display) {
    let _ = writeln!(text, "{name} {value}");
}

/// Seconds, as Prometheus wants durations; its buckets are cumulative.
fn write_histogram(text: &mut String, name: &str, view: &HistogramView) {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    for (bound, count) in view.octaves() {
        let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {count}", seconds(bound));
    }
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", view.count);
    write_line(text, &format!("{name}_sum"), seconds(view.sum));
    write_line(text, &format!("{name}_count"), view.count);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_has_a_name_of_its_own_and_a_help() {
        let metrics = Metrics::default();

        let samples: Vec<_> = metrics.samples().collect();
        let names: BTreeSet<_> = samples.iter().map(|(room, sample)| (room, sample.name)).collect();

        assert_eq!(names.len(), samples.len(), "a name stands twice");
        assert!(samples.iter().all(|(_, sample)| sample.help.ends_with('.')));
    }

    #[test]
    fn a_counter_is_written_with_help_type_and_value() {
        let metrics = Metrics::default();
        metrics.runtime.refused_at_the_door.add(3);

        let text = metrics.to_prometheus();

        assert!(
            text.contains(
                "# TYPE quorate_runtime_refused_at_the_door_total counter\nquorate_runtime_refused_at_the_door_total 3\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_histogram_is_written_as_cumulative_buckets_in_seconds() {
        let metrics = Metrics::default();
        metrics.replica.stage_quorum.record(1024);
        metrics.replica.stage_quorum.record(1025);
        metrics.replica.stage_quorum.record(u64::from(u32::MAX) << 8);

        let text = metrics.to_prometheus();

        let name = "quorate_raft_stage_quorum_seconds";
        for line in [
            &format!("# TYPE {name} histogram"),
            &format!("{name}_bucket{{le=\"0.000001024\"}} 1"),
            &format!("{name}_bucket{{le=\"0.000002048\"}} 2"),
            &format!("{name}_bucket{{le=\"68.719476736\"}} 2"),
            &format!("{name}_bucket{{le=\"+Inf\"}} 3"),
            &format!("{name}_count 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
