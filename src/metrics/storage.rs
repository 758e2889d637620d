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
        counter restarts: "How often the log of a group began anew after a snapshot that was installed.";
        counter snapshots_written: "Snapshots of this node's own state machines, written and durable.";
        counter snapshot_bytes_written: "Bytes written to them, of unfinished ones too.";
        counter snapshots_received: "Snapshots received from other nodes, complete and durable.";
        counter snapshot_bytes_received: "Bytes of them that were found good and written.";
        counter snapshot_bytes_sent: "Bytes of snapshots' files read for other nodes.";
        counter disk_full: "How often something was refused because the disk was full.";
    }
}
