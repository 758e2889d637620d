//! What the log on disk counts.

use super::registry::metrics;

metrics! {
    /// Written by the log's own threads, read by anybody.
    StorageMetrics {
        counter batches: "Batches made durable: one write and one sync each.";
        counter entries: "Entries in them.";
        counter bytes: "Bytes written to the log, the zeros that fill its blocks included.";
        counter rotations: "How often the log went on in another segment.";
        gauge segments: "Segments that the log consists of now.";
        counter unprepared_segments: "Segments for which no spare was ready, so that the writer had to make them itself: the first one always.";
        histogram stage_write: "What handing one batch to the operating system took.";
        histogram stage_sync: "What making it durable took.";
    }
}
