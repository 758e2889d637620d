//! All numbers of a node, and how they are written out.

use std::fmt::Write;
use std::sync::Arc;

use super::registry::Sample;
use super::{NetMetrics, ReplicaMetrics, RuntimeMetrics, StorageMetrics};

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
}

impl Metrics {
    /// The text format of Prometheus, version 0.0.4. Every name starts with `quorate_`.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        for (room, sample) in self.samples() {
            let Sample { name, kind, help, value } = sample;
            let name = format!("{room}_{name}");
            let suffix = if kind == super::registry::Kind::Counter { "_total" } else { "" };
            let (kind, value) = (kind.name(), value.get());
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP quorate_{name}{suffix} {help}\n# TYPE quorate_{name}{suffix} {kind}\nquorate_{name}{suffix} {value}\n"
            );
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
        ];
        rooms.into_iter().flat_map(|(room, samples)| samples.into_iter().map(move |sample| (room, sample)))
    }
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
}
