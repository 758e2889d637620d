//! What a replica counts.

use super::registry::metrics;

metrics! {
    /// The counters of one replica: written by its engine thread.
    ReplicaMetrics {
        counter proposals: "Commands appended as leader, own and forwarded.";
        counter forwards: "Commands handed to a leader.";
        counter reads: "Reads handed to the state machine.";
        counter busy: "Requests refused because too much was in flight.";
        counter expired: "Requests whose deadline passed first.";
        counter superseded: "Commands that another leader's entry replaced.";
        counter refused_messages: "Peer messages dropped: malformed, or from a node that lost its data directory.";
        counter elections: "Elections in which this replica was a candidate.";
        counter leader_changes: "How often another leader, or one after none, became known.";
        counter writes: "Writes asked of the log, empty barriers among them.";
        counter entries_written: "Entries in these writes.";
        counter persisted: "Reports that writes are durable; one covers many writes when syncs are shared.";
        counter fetches: "Reads of entries that had left memory.";
        gauge tail_bytes: "Bytes of recent entries in memory.";
        gauge commit: "The last committed entry.";
        gauge applied: "The last applied entry.";
        histogram stage_queue: "From a caller's request to its append, or to the round of its read.";
        histogram stage_round_trip: "From the send of a round of heartbeats to the answers of a quorum.";
        histogram stage_quorum: "From the append of an entry as leader to its commit.";
    }
}
