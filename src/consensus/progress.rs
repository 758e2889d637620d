//! What a leader knows of one peer, and how much it may send it.
//!
//! While *probing*, the leader does not know where the peer's log agrees with its own: one append per heartbeat or
//! answer. While *replicating*, it sends optimistically ahead (`next` runs in front of `matched`) within a window of
//! messages and bytes. An answer frees the window; silence over a whole heartbeat while the peer answers heartbeats
//! means that messages were lost, and probing begins again behind the last proved match. A peer that needs what has left
//! the log is offered a *snapshot*, again with each heartbeat, until it has one from which the log goes on.

use std::collections::VecDeque;

use super::RaftConfig;
use super::log::Log;
use crate::planted::{Bug, planted};
use crate::types::{LogIndex, LogPosition, LogSlice, Moment, Round, SnapshotMeta};

/// One peer, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    /// Up to here the peer's log equals ours, durably. Never falls.
    matched: LogIndex,
    /// The first entry of the next append; always above `matched`.
    next: LogIndex,
    state: ProgressState,
    /// Probing or offering: one is out, the next one waits for an answer or a heartbeat.
    probe_sent: bool,
    /// Offering: the snapshot that the peer was told to fetch.
    offered: Option<SnapshotMeta>,
    /// It got a snapshot and has not caught up with a newer one since: without what follows, all of it was in vain.
    catching_up: bool,
    /// Replicating: the appends under way, which hold exactly the entries between `matched` and `next`.
    window: Window,
    /// Ticks since the window moved.
    quiet_ticks: u32,
    /// Ticks since the peer answered anything.
    silent_ticks: u32,
    /// The connection was lost, and nothing was heard since.
    is_cut_off: bool,
    /// The latest round that the peer answered.
    answered: Round,
    /// With leases: a moment not after that in which this round was sent.
    answered_since: Option<Moment>,
    /// The commit index that the peer was last told.
    commit_told: LogIndex,
}

/// How a leader sends to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressState {
    /// One append at a time, to find out where the logs agree.
    Probe,
    /// Ahead of the answers, within the window.
    Replicate,
    /// What it needs next has left the log: it is offered a snapshot and sent nothing else.
    Snapshot,
}

/// A leader's view of one peer, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerProgress {
    /// Up to here the peer's log equals the leader's, durably.
    pub matched: LogIndex,
    /// The first entry of the next append.
    pub next: LogIndex,
    /// How the leader sends.
    pub state: ProgressState,
    /// Appends under way.
    pub in_flight_messages: usize,
    /// Their bytes of payload.
    pub in_flight_bytes: u64,
    /// Whether the peer answered within the last `election_ticks`.
    pub recently_active: bool,
}

/// For how many election timeouts a peer that got a snapshot may stand still before the log is no longer kept for it.
const CATCH_UP_PATIENCE: u32 = 4;

impl Progress {
    /// A peer of a new leader whose log ends at `last`: it starts with the hope that the peer has the same.
    pub(super) fn new(last: LogIndex) -> Self {
        Self {
            matched: LogIndex::ZERO,
            next: last.next(),
            state: ProgressState::Probe,
            probe_sent: false,
            offered: None,
            catching_up: false,
            window: Window::default(),
            quiet_ticks: 0,
            silent_ticks: 0,
            is_cut_off: false,
            answered: Round::default(),
            answered_since: None,
            commit_told: LogIndex::ZERO,
        }
    }

    /// A peer that comes now: it has `silent_ticks` behind it in which it answered nothing.
    pub(super) fn unheard(last: LogIndex, silent_ticks: u32) -> Self {
        Self { silent_ticks, ..Self::new(last) }
    }

    pub(super) fn matched(&self) -> LogIndex {
        self.matched
    }

    pub(super) fn answered(&self) -> Round {
        self.answered
    }

    /// When the latest round that the peer answered was sent, or a little earlier.
    pub(super) fn answered_since(&self) -> Option<Moment> {
        self.answered_since
    }

    /// Time passes.
    pub(super) fn tick(&mut self, ticks: u32) {
        self.quiet_ticks = self.quiet_ticks.saturating_add(ticks);
        self.silent_ticks = self.silent_ticks.saturating_add(ticks);
    }

    /// A heartbeat goes out: a probe or an offer may go with it.
    pub(super) fn heartbeat_sent(&mut self) {
        self.probe_sent &= planted(Bug::ProbesOnce);
    }

    /// The peer answered something.
    pub(super) fn heard(&mut self) {
        self.silent_ticks = 0;
        self.is_cut_off = false;
    }

    /// Whether the peer can be counted on now: it answered within the last `election_ticks`, and nothing was lost since.
    pub(super) fn answers(&self, election_ticks: u32) -> bool {
        self.is_active(election_ticks) && !self.is_cut_off
    }

    /// Whether the peer answered within the last `election_ticks`.
    pub(super) fn is_active(&self, election_ticks: u32) -> bool {
        self.silent_ticks < election_ticks
    }

    /// Whether an append may leave now.
    pub(super) fn wants_append(&self, log: &Log, config: &RaftConfig) -> bool {
        match self.state {
            ProgressState::Probe => !self.probe_sent && self.is_in(log),
            ProgressState::Replicate => {
                self.next <= log.last().index
                    && self.is_in(log)
                    && self.window.admits(log.bytes_at(self.next), config)
            }
            ProgressState::Snapshot => false,
        }
    }

    /// The next append, counted as sent. `None` if none may leave now.
    pub(super) fn take_append(&mut self, log: &Log, config: &RaftConfig) -> Option<LogSlice> {
        if !self.wants_append(log, config) {
            return None;
        }
        let bytes_max = config.append_bytes_max.min(self.window.room(config));
        let slice = log.slice(self.next, config.append_entries_max, bytes_max)?;
        match self.state {
            ProgressState::Probe => self.probe_sent = true,
            ProgressState::Replicate => {
                if self.window.is_empty() {
                    self.quiet_ticks = 0;
                }
                self.next = slice.last().index.next();
                self.window.push(slice.last().index, slice.bytes());
            }
            ProgressState::Snapshot => unreachable!("a peer that is offered a snapshot gets no append"),
        }
        Some(slice)
    }

    /// Whether an offer may leave now, `newest` being the newest snapshot there is.
    pub(super) fn wants_offer(&self, log: &Log, newest: Option<&SnapshotMeta>) -> bool {
        let is_due = self.state != ProgressState::Snapshot || !self.probe_sent;
        is_due && !self.is_in(log) && (self.offered.is_some() || newest.is_some())
    }

    /// The next offer, counted as sent. `None` if none may leave now. As long as the peer answers, and the log goes on from
    /// it, it is the same snapshot again: with a newer one it would have to begin anew, each time.
    pub(super) fn take_offer(
        &mut self,
        log: &Log,
        newest: Option<&SnapshotMeta>,
        config: &RaftConfig,
    ) -> Option<SnapshotMeta> {
        if !self.wants_offer(log, newest) {
            return None;
        }
        if self.state != ProgressState::Snapshot {
            self.probe_from(self.matched.next());
            self.state = ProgressState::Snapshot;
            self.offered = None;
        }
        let is_useful = |offered: &SnapshotMeta| offered.position.index >= log.starts_after().index;
        if !self.offered.as_ref().is_some_and(is_useful) || !self.is_active(config.election_ticks) {
            self.offered = newest.cloned();
        }
        self.probe_sent = true;
        self.offered.clone()
    }

    /// Whether what the peer needs next is in the log: the position before `next` is.
    fn is_in(&self, log: &Log) -> bool {
        self.next > log.starts_after().index
    }

    /// Up to where the log may be dropped for this peer's sake: one that answers and is being sent a snapshot needs what
    /// follows that snapshot, and then goes on needing what follows its match until it has caught up or stands still.
    /// `None`: anything.
    pub(super) fn spares(&self, election_ticks: u32) -> Option<LogIndex> {
        if !self.is_active(election_ticks) {
            return None;
        }
        match &self.state {
            ProgressState::Snapshot => self.offered.as_ref().map(|offered| offered.position.index),
            _ if self.catching_up && self.quiet_ticks < CATCH_UP_PATIENCE * election_ticks => {
                Some(self.matched)
            }
            _ => None,
        }
    }

    /// There is a newer snapshot: from now on only those who lack what it covers are still catching up.
    pub(super) fn snapshot_saved(&mut self, position: LogPosition) {
        self.catching_up &= self.matched < position.index;
    }

    /// The peer makes no progress with the snapshot it was offered: the next heartbeat offers it the newest.
    pub(super) fn stalled(&mut self) {
        self.offered = None;
        self.catching_up = false;
        self.probe_sent |= self.state == ProgressState::Snapshot;
    }

    /// The peer proved that its log equals ours up to `matched`, durably. Whether that is news.
    pub(super) fn advance(&mut self, matched: LogIndex, log: &Log) -> bool {
        if matched <= self.matched {
            return false;
        }
        self.matched = matched;
        self.next = self.next.max(matched.next());
        self.window.free(matched);
        self.quiet_ticks = 0;
        if self.state == ProgressState::Snapshot {
            self.leave_snapshot(log);
        }
        true
    }

    /// The peer holds more than was known. If the log goes on from there, it needs no snapshot any more, whichever it got.
    fn leave_snapshot(&mut self, log: &Log) {
        if self.is_in(log) {
            self.probe_from(self.next);
            self.offered = None;
            self.catching_up = true;
        }
    }

    /// The peer accepted an append: what follows the match may stream.
    pub(super) fn accepted(&mut self) {
        if self.state == ProgressState::Probe {
            self.state = ProgressState::Replicate;
            self.next = self.matched.next();
        }
    }

    /// Whether a rejection of the entry at `prev` answers what we wait for; others are late and say nothing.
    pub(super) fn awaits_rejection(&self, prev: LogIndex) -> bool {
        let is_open = match self.state {
            ProgressState::Probe => prev == self.next.prev(),
            ProgressState::Replicate => prev < self.next,
            ProgressState::Snapshot => false,
        };
        is_open && prev > self.matched
    }

    /// The peer lacks the entry at `prev`; the logs may agree at `hope`, or at the match that is proved already.
    pub(super) fn rejected(&mut self, prev: LogIndex, hope: LogIndex) {
        self.probe_from(hope.next().min(prev));
    }

    /// A heartbeat was answered. If the window has not moved for more than a heartbeat's time, its messages are lost:
    /// begin again behind the match.
    pub(super) fn heartbeat_answered(&mut self, round: Round, sent: Option<Moment>, heartbeat_ticks: u32) {
        self.answered = self.answered.max(round);
        self.answered_since = self.answered_since.max(sent);
        let is_lost = self.quiet_ticks > heartbeat_ticks && !planted(Bug::LostAppendsStayInFlight);
        if !self.window.is_empty() && is_lost {
            self.probe_from(self.matched.next());
        }
    }

    /// The connection is gone, and with it what was under way.
    pub(super) fn lost(&mut self) {
        self.is_cut_off = true;
        match self.state {
            ProgressState::Probe | ProgressState::Snapshot => self.probe_sent = false,
            ProgressState::Replicate => self.probe_from(self.matched.next()),
        }
    }

    /// The commit index that the peer may be told: nothing that it is not known to hold.
    pub(super) fn tellable(&self, commit: LogIndex) -> LogIndex {
        if planted(Bug::CommitsUnverified) { commit } else { commit.min(self.matched) }
    }

    /// Whether a streaming peer should hear of `commit` although no append tells it.
    pub(super) fn wants_commit(&self, commit: LogIndex) -> bool {
        self.state == ProgressState::Replicate && self.commit_told < self.tellable(commit)
    }

    /// The peer is told that everything up to `commit` is committed.
    pub(super) fn told(&mut self, commit: LogIndex) {
        self.commit_told = self.commit_told.max(commit);
    }

    pub(super) fn view(&self, election_ticks: u32) -> PeerProgress {
        PeerProgress {
            matched: self.matched,
            next: self.next,
            state: self.state,
            in_flight_messages: self.window.messages.len(),
            in_flight_bytes: self.window.bytes,
            recently_active: self.is_active(election_ticks),
        }
    }

    pub(super) fn assert_invariants(&self, log: &Log, config: &RaftConfig) {
        assert!(self.matched < self.next, "the next entry is one that the peer has");
        assert!(self.next <= log.last().index.next(), "the next entry lies beyond the end of the log");
        assert!(
            self.state != ProgressState::Snapshot || !self.is_in(log),
            "a peer is offered a snapshot although the log has what it needs"
        );
        assert!(
            self.window.messages.len() <= config.in_flight_messages_max,
            "more messages are in flight than the window admits"
        );
        let sent = self.next.prev().max(self.matched);
        assert!(
            self.state == ProgressState::Probe || self.window.last().unwrap_or(self.matched) == sent,
            "the window does not hold what was sent and not acknowledged"
        );
    }

    /// Tries an append at `next`, but never at or below the match: what is proved is not doubted.
    fn probe_from(&mut self, next: LogIndex) {
        self.state = ProgressState::Probe;
        self.next = next.max(self.matched.next());
        self.probe_sent = false;
        self.window = Window::default();
    }
}

/// The appends under way, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Window {
    messages: VecDeque<InFlight>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    last: LogIndex,
    bytes: u64,
}

impl Window {
    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn last(&self) -> Option<LogIndex> {
        self.messages.back().map(|message| message.last)
    }

    /// Whether a message that begins with an entry of `bytes` may leave: alone it always may.
    fn admits(&self, bytes: u32, config: &RaftConfig) -> bool {
        self.is_empty()
            || (self.messages.len() < config.in_flight_messages_max && u64::from(bytes) <= self.room(config))
    }

    fn room(&self, config: &RaftConfig) -> u64 {
        config.in_flight_bytes_max.saturating_sub(self.bytes)
    }

    fn push(&mut self, last: LogIndex, bytes: u64) {
        self.messages.push_back(InFlight { last, bytes });
        self.bytes += bytes;
    }

    fn free(&mut self, matched: LogIndex) {
        while let Some(message) = self.messages.front().filter(|message| message.last <= matched) {
            self.bytes -= message.bytes;
            self.messages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn limits(messages: usize, bytes: u64) -> RaftConfig {
        let id = NodeId::new(1).unwrap();
        RaftConfig { in_flight_messages_max: messages, in_flight_bytes_max: bytes, ..RaftConfig::new(id) }
    }

    fn window_of(sizes: &[u64]) -> Window {
        let mut window = Window::default();
        for (&bytes, last) in sizes.iter().zip(1..) {
            window.push(LogIndex(last), bytes);
        }
        window
    }

    #[test]
    fn the_window_is_full_by_messages_or_by_bytes() {
        assert!(window_of(&[10, 10]).admits(10, &limits(3, 30)));
        assert!(!window_of(&[10, 10]).admits(10, &limits(2, 30)));
        assert!(!window_of(&[10, 10]).admits(11, &limits(3, 30)));
    }

    #[test]
    fn an_entry_above_the_byte_limit_passes_alone() {
        assert!(window_of(&[]).admits(1_000, &limits(3, 30)));
        assert!(!window_of(&[1_000]).admits(0, &limits(1, 30)));
        assert!(!window_of(&[1_000]).admits(1, &limits(3, 30)));
    }

    #[test]
    fn an_acknowledgement_frees_all_messages_it_covers_and_their_bytes() {
        let mut window = window_of(&[10, 20, 30]);

        window.free(LogIndex(2));

        assert_eq!((window.messages.len(), window.bytes), (1, 30));
    }

    #[test]
    fn a_match_never_regresses_and_next_stays_above_it() {
        let log = Log::restore(LogPosition::ZERO, None, Vec::new()).unwrap();
        let mut peer = Progress::new(LogIndex(9));

        assert!(peer.advance(LogIndex(5), &log));
        assert!(!peer.advance(LogIndex(3), &log));
        peer.rejected(LogIndex(8), LogIndex::ZERO);

        assert_eq!((peer.matched, peer.next), (LogIndex(5), LogIndex(6)));
    }
}
