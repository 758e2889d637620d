//! What the connections between nodes count.

use super::registry::metrics;

metrics! {
    /// One node's traffic with its peers, over all connections since the process started.
    NetMetrics {
        counter bytes_sent: "Bytes handed to sockets.";
        counter bytes_received: "Bytes taken from sockets.";
        counter socket_writes: "Writes to sockets; each carries as many messages as waited for that peer.";
        counter messages_sent: "Messages put into a connection's queue.";
        counter messages_received: "Messages that arrived whole and were handed over.";
        counter messages_dropped: "Messages that found no connection, or a full queue.";
        counter chunks_sent: "Chunks of snapshots put into a bulk connection's queue.";
        counter chunk_bytes_sent: "Bytes of snapshots in these chunks.";
        counter chunks_received: "Chunks of snapshots that arrived whole and were handed over.";
        counter chunks_dropped: "Chunks of snapshots that found a full queue, or a bulk lane that could not be dialled.";
        counter connects: "Connections that got through the handshake, dialled and accepted, bulk connections aside.";
        counter disconnects: "Connections that ended after that.";
        counter bulk_connects: "Bulk connections that got through the handshake, dialled and accepted.";
        counter bulk_disconnects: "Bulk connections that ended after that.";
        counter refused: "Handshakes refused, by us or by the other side.";
        counter frames_malformed: "Connections closed for what no node of this version would send.";
        counter silent: "Connections dropped because nothing was heard on them for too long, or because they never said who they were.";
        counter guests: "Connections that turned out to be clients' and were handed to the server.";
        counter guests_refused: "Clients refused before that: no server, or too many clients, or about to stop.";
        counter turned_away: "Connections turned away because too many stood, or because the process has no file descriptor left.";
    }
}
