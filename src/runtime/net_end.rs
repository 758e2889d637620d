//! The end through which a thread reaches the transport: a queue, and a way to wake whoever empties it.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::transport::{SendJob, Wake};
use crate::types::{GroupId, NodeId, PeerMessage};

/// Held by the engine and by the log writer. When both have dropped theirs, the transport writes out what it has and ends.
pub(super) struct NetEnd {
    /// Taken when this is dropped.
    jobs: Option<Sender<SendJob>>,
    waker: Arc<dyn Wake>,
}

impl NetEnd {
    pub(super) fn new(jobs: Sender<SendJob>, waker: Arc<dyn Wake>) -> Self {
        Self { jobs: Some(jobs), waker }
    }

    /// Hands over all jobs, then wakes the transport once. A transport that is gone has said why.
    pub(super) fn send_all(&self, jobs: impl IntoIterator<Item = SendJob>) {
        let Some(sender) = &self.jobs else { return };
        let mut anything = false;
        for job in jobs {
            anything = true;
            let _ = sender.send(job);
        }
        if anything {
            self.wake();
        }
    }

    /// There is something new for the transport, or room for what it reads.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }
}

impl Drop for NetEnd {
    /// A sleeping transport does not notice that a queue has lost its last sender.
    fn drop(&mut self) {
        drop(self.jobs.take());
        self.waker.wake();
    }
}

/// A message of `group` as a job.
pub(super) fn message_job(group: GroupId, (to, message): (NodeId, PeerMessage)) -> SendJob {
    SendJob::Message { group, to, message }
}
