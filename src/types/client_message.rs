//! What programs outside the cluster ask of a node, and what it says to them: plain data, in bytes at
//! `wire::client`.

use std::time::Duration;

use bytes::Bytes;

use super::{NodeId, SessionId, SessionTag};

/// One request. A connection may carry many at once; they are answered in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// Chosen by the client, and given back in the reply. Of those under way on one connection no two are the same.
    pub id: u64,
    /// How long the node may take, counted from when it reads the request.
    pub within: Duration,
    /// What is asked for.
    pub call: ClientCall,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCall {
    /// Replicate this command, encoded by the state machine's codec; once, if it belongs to a session.
    Propose {
        /// Which command of a session it is, if of any.
        session: Option<SessionTag>,
        /// The command.
        command: Bytes,
    },
    /// Open a session.
    OpenSession,
    /// Close one: the answers that are kept for it go.
    CloseSession(SessionId),
    /// Ask the state machine.
    Query {
        /// The question, encoded by the state machine's codec.
        query: Bytes,
        /// Of the copy of the node that is asked, as it is; else linearizably.
        local: bool,
    },
    /// The node as it is.
    Status,
}

/// What a node says to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The answer to the request of this id.
    Reply {
        /// Which request.
        id: u64,
        /// What became of it.
        outcome: Result<ClientAnswer, ClientRefused>,
    },
    /// Who belongs to the cluster and who leads. The first message of each connection, and again whenever it changes. A
    /// client goes nowhere but to addresses that it was given at its start or that such a message names.
    Cluster {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
        /// The members and their addresses, sorted by id.
        members: Vec<(NodeId, String)>,
    },
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer {
    /// The state machine's response, encoded by its codec.
    Response(Bytes),
    /// The session stands.
    SessionOpened(SessionId),
    /// The session is gone.
    SessionClosed,
    /// The node as it is.
    Status(ClientStatus),
}

/// A node as it tells a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStatus {
    /// Which node speaks.
    pub node: u64,
    /// The latest term it has seen.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Entries up to here are committed.
    pub commit: u64,
    /// Entries up to here are applied there.
    pub applied: u64,
    /// The voters.
    pub voters: Vec<u64>,
    /// The learners.
    pub learners: Vec<u64>,
}

/// Why a request came to nothing, as far as the node knows. The variants of a proposal and of a read are those of
/// [`ProposeError`](crate::ProposeError) and [`ReadError`](crate::ReadError), which say more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRefused {
    /// Not taken: this node does not lead and does not forward.
    NotLeader {
        /// Who leads, and where, if known.
        leader: Option<(NodeId, String)>,
    },
    /// Not taken: nobody leads.
    NoLeader,
    /// Not taken, or not answered, in time; nothing was applied.
    DeadlinePassed,
    /// Not taken: too much is under way, at this node or for this client.
    Busy,
    /// Not taken: the disk is full.
    DiskFull,
    /// Not taken: too long. Of a query also: its answer is too long to be sent.
    TooLarge {
        /// How long it is, in bytes.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },
    /// Not taken: the bytes mean nothing to the state machine.
    Malformed,
    /// Another leader's entry took its place: it never takes effect.
    Superseded,
    /// It may have taken effect, or may yet.
    Unknown,
    /// The session is gone, by its age or because it was closed. What was under way in it may have taken effect.
    SessionExpired,
    /// The command took effect, and its answer is not kept: it was acknowledged, or was too large to keep or to send.
    AnswerForgotten,
    /// Not applied: too many commands of the session are unanswered.
    SessionFull,
    /// The query panicked on the node that was asked.
    Panicked {
        /// What it said.
        message: String,
    },
    /// The node stops; nothing was applied.
    Stopped,
}
