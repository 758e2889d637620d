//! What consensus asks for in one turn becomes jobs: payloads join what it knows by position alone.

use super::Replica;
use crate::consensus::{Outgoing, Ready, RoleName};
use crate::replica::cold::entries_of;
use crate::replica::{ApplyJob, FetchJob, Jobs, PendingReply, WriteJob};
use crate::types::{Body, EntryRun, Moment, NodeId, PeerMessage};

impl Replica {
    /// The jobs of this turn, in the order in which they are done.
    pub(super) fn carry_out(&mut self, now: Moment) -> Jobs {
        let mut jobs = std::mem::take(&mut self.begun);
        let leads = self.raft.role() == RoleName::Leader;
        self.cold.lead(leads.then(|| self.raft.term()));
        if self.raft.has_ready() {
            let ready = self.raft.ready(now);
            self.consensus_asks(ready, &mut jobs, now);
        }
        self.hand_over(&mut jobs);
        self.serve_cold(&mut jobs);
        self.tail.trim(self.raft.stable(), self.applying.handed_over());
        jobs
    }

    fn consensus_asks(&mut self, ready: Ready, jobs: &mut Jobs, now: Moment) {
        self.fill_own_entries();
        for outgoing in ready.send {
            jobs.send.extend(self.with_payloads(outgoing, now));
        }
        if let Some(seq) = ready.write {
            let entries = ready.append.map_or_else(Vec::new, |span| {
                let held = self.tail.slice(span.first, span.last.index);
                held.expect("entries that are not durable stay in the tail")
            });
            let count: usize = entries.iter().map(|run| run.entries().len()).sum();
            self.config.metrics.writes.increment();
            self.config.metrics.entries_written.add(count as u64);
            let when_durable = ready.send_when_durable.into_iter();
            let send_when_durable =
                when_durable.filter_map(|outgoing| self.with_payloads(outgoing, now)).collect();
            jobs.write = Some(WriteJob {
                seq,
                hard_state: ready.hard_state,
                restart: ready.restart.map(|snapshot| (snapshot.position, snapshot.membership)),
                entries,
                send_when_durable,
            });
        }
        if let Some(snapshot) = ready.restore {
            self.restore(snapshot, jobs);
        }
        if let Some(span) = ready.apply {
            self.applying.commit(span);
        }
        ready.reads.into_iter().for_each(|read| self.reads.confirm(read));
        ready.reads_lost.into_iter().for_each(|id| self.reads.lost(id, self.ticks));
        if let Some((from, snapshot)) = ready.receive {
            self.fetch_snapshot(from, snapshot, jobs);
        }
    }

    /// A message as it travels; `None` if it must wait for the log reader, or for an append before it that does.
    fn with_payloads(&mut self, outgoing: Outgoing, now: Moment) -> Option<(NodeId, PeerMessage)> {
        let Outgoing { to, message } = outgoing;
        if let Body::SnapshotOffer(snapshot) = &message.body {
            self.serving.offered(to, snapshot, self.ticks);
        }
        let Body::Append(append) = &message.body else {
            return Some((to, PeerMessage::Raft { message, entries: Vec::new() }));
        };
        self.stages.sent(to, append, now);
        let waits = self.cold.is_waiting(to);
        if let Some(entries) = (!waits).then(|| entries_of(append, &self.tail)).flatten() {
            return Some((to, PeerMessage::Raft { message, entries }));
        }
        if let Body::Append(append) = message.body {
            self.cold.push(to, append);
        }
        None
    }

    /// What is committed goes to the state machine, as far as it has room, and behind it the reads that waited for it.
    fn hand_over(&mut self, jobs: &mut Jobs) {
        while let Some(entries) = self.applying.next(&self.tail) {
            self.count_for_snapshots(&entries);
            let replies = self.callers_of(&entries);
            jobs.apply.push(ApplyJob::Entries { entries, replies });
        }
        if let Some(missing) = self.applying.missing(&self.tail) {
            let id = next(&mut self.fetches);
            self.applying.fetching(id);
            self.config.metrics.fetches.increment();
            let (first, last, bytes_max) = (missing.first, missing.last, missing.bytes_max);
            jobs.fetch.push(FetchJob { id, first, last, bytes_max });
        }
        self.take_picture(jobs);
        let reads = self.reads.release(self.applying.handed_over(), &mut jobs.apply);
        self.config.metrics.reads.add(reads as u64);
    }

    fn callers_of(&mut self, entries: &[EntryRun]) -> Vec<PendingReply> {
        let mut replies = Vec::new();
        let superseded = self.pending.resolve(entries, &mut replies);
        let own = replies.len();
        let superseded = superseded + self.forwards.resolve(entries, &mut replies);
        if own > 0 && replies.len() > own {
            replies.sort_by_key(|reply| reply.index);
        }
        self.config.metrics.superseded.add(superseded);
        replies
    }

    fn serve_cold(&mut self, jobs: &mut Jobs) {
        let fetches = &mut self.fetches;
        let served = self.cold.serve(&self.tail, || next(fetches));
        self.config.metrics.fetches.add(served.fetch.len() as u64);
        jobs.send.extend(served.send);
        jobs.fetch.extend(served.fetch);
        for peer in served.broken {
            log::warn!("the log does not hold what was announced to node {peer} any more: it is probed anew");
            self.raft.peer_lost(peer);
        }
    }
}

fn next(count: &mut u64) -> u64 {
    *count += 1;
    *count
}
