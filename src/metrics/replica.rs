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
        counter snapshots: "Snapshots of the own state machine that became durable.";
        counter snapshot_failures: "Snapshots that could not be taken, written or received.";
        counter snapshots_installed: "Snapshots of other nodes that took the place of log and state.";
        gauge in_flight_bytes: "Bytes of commands that callers wait for: queued, handed to a leader, or, at a leader, not applied.";
        gauge tail_bytes: "Bytes of recent entries in memory.";
        gauge term: "The latest term that was seen.";
        gauge leads: "1 while this replica leads, else 0.";
        gauge disk_full: "1 while the disk has no room for the log, else 0.";
        gauge last_index: "The last entry of the log.";
        gauge commit: "The last committed entry.";
        gauge applied: "The last applied entry.";
        gauge snapshot_index: "The last entry in the newest snapshot; 0 without one.";
        histogram stage_queue: "From a caller's request to its append.";
        histogram stage_round_trip: "From the send of an append to its acceptance by that peer.";
        histogram stage_quorum: "From the append of an entry as leader to its commit.";
    }
}
