//! What a server counts of its clients.

use super::registry::metrics;

metrics! {
    /// One server's traffic with its clients, since it started. A node without one counts nothing here.
    ServerMetrics {
        gauge connections: "Connections of clients that stand now.";
        counter connects: "Connections of clients that were let in.";
        counter disconnects: "Connections of clients that ended after that.";
        counter handshakes_refused: "Clients refused in words: another cluster, a wrong token, no common version.";
        counter requests: "Requests that arrived whole.";
        counter answers: "Answers put into a connection's queue.";
        counter refused: "Answers among them that say why nothing came of the request.";
        counter busy: "Answers among these that say that too much is under way.";
        counter bytes_received: "Bytes taken from clients' sockets.";
        counter bytes_sent: "Bytes handed to clients' sockets.";
        counter socket_writes: "Writes to clients' sockets; each carries all that waited for that client.";
        counter malformed: "Connections closed for what no client of this version would send.";
        counter cut_off: "Connections closed because the client did not read its answers.";
        counter timed_out: "Connections closed because nothing was asked on them, or nothing whole, for too long.";
    }
}
