//! What the runtime counts.

use super::registry::metrics;

metrics! {
    /// The doors of a node.
    RuntimeMetrics {
        counter refused_at_the_door: "Requests refused because too much was in flight on this node.";
        counter unknown_groups: "Messages dropped because no group of that number is open here.";
        counter dropped_pieces: "Pieces of snapshots, and wishes for them, dropped because too many waited.";
        counter stray_pieces: "Pieces of snapshots that came unasked: late, twice, or of another transfer.";
        histogram stage_apply: "What one batch of committed entries took in the state machine.";
        histogram stage_reply: "What answering all callers of a batch took, and serving its reads.";
    }
}
