//! What callers and operators do at the nodes of a cluster, and how they hear of it.

use super::*;

impl Cluster {
    pub(in crate::replica::tests) fn propose(&mut self, number: u64, command: &str) -> Answer {
        let answer = self.submit(number, command);
        self.settle();
        answer
    }

    /// Proposes, and nothing more happens yet.
    pub(in crate::replica::tests) fn submit(&mut self, number: u64, command: &str) -> Answer {
        self.submit_within(PATIENCE, number, command)
    }

    /// Proposes with less patience, and nothing more happens yet.
    pub(in crate::replica::tests) fn submit_within(
        &mut self,
        patience: u64,
        number: u64,
        command: &str,
    ) -> Answer {
        let (reply, answer) =
            Reply::pair(Permit::free(), instant(), |response| Ok(String::decode(response).unwrap()));
        let command = Bytes::copy_from_slice(command.as_bytes());
        let deadline = self.after(patience);
        self.handle(number, Event::Propose(Proposal { command, reply, deadline }));
        answer
    }

    /// An operator at `number` wants a change; nothing more happens yet.
    pub(in crate::replica::tests) fn submit_change(
        &mut self,
        number: u64,
        change: MembershipChange,
        expected: Option<LogIndex>,
    ) -> Told<ChangeReceipt, ChangeError> {
        let (answer, told) = told();
        let deadline = self.after(PATIENCE);
        self.handle(number, Event::Change(Change { change, expected, answer, deadline }));
        told
    }

    pub(in crate::replica::tests) fn change(
        &mut self,
        number: u64,
        change: MembershipChange,
    ) -> Told<ChangeReceipt, ChangeError> {
        let told = self.submit_change(number, change, None);
        self.settle();
        told
    }

    pub(in crate::replica::tests) fn transfer(
        &mut self,
        number: u64,
        to: Option<u64>,
    ) -> Told<NodeId, TransferError> {
        let told = self.submit_transfer(number, to);
        self.settle();
        told
    }

    /// An operator at `number` wants another leader; nothing more happens yet.
    pub(in crate::replica::tests) fn submit_transfer(
        &mut self,
        number: u64,
        to: Option<u64>,
    ) -> Told<NodeId, TransferError> {
        let (answer, told) = told();
        let deadline = self.after(PATIENCE);
        self.handle(number, Event::Transfer(Transfer { to: to.map(id), answer, deadline }));
        told
    }

    pub(in crate::replica::tests) fn snapshot_now(
        &mut self,
        number: u64,
    ) -> Told<SnapshotMeta, SnapshotNowError> {
        let told = self.submit_snapshot(number);
        self.settle();
        told
    }

    /// An operator at `number` wants a snapshot; nothing more happens yet.
    pub(in crate::replica::tests) fn submit_snapshot(
        &mut self,
        number: u64,
    ) -> Told<SnapshotMeta, SnapshotNowError> {
        let (answer, told) = told();
        let deadline = self.after(PATIENCE);
        self.handle(number, Event::SnapshotNow(SnapshotNow { answer, deadline }));
        told
    }

    pub(in crate::replica::tests) fn read(&mut self, number: u64) -> Seen {
        let seen = self.submit_read(number);
        self.settle();
        seen
    }

    /// Reads, and nothing more happens yet.
    pub(in crate::replica::tests) fn submit_read(&mut self, number: u64) -> Seen {
        let (task, seen) = ReadTask::pair(Permit::free(), instant(), |journal: &Journal| journal.query(()));
        let deadline = self.after(PATIENCE);
        self.handle(number, Event::Read(Read { task, deadline }));
        seen
    }

    fn after(&self, patience: u64) -> Moment {
        Moment(self.now.0 + patience)
    }
}

/// Where an answer goes, and where it is heard.
fn told<T: Send + 'static, E: Send + 'static>() -> (crate::replica::Answer<T, E>, Told<T, E>) {
    let (sender, told) = channel();
    (Box::new(move |outcome| drop(sender.send(outcome))), told)
}
