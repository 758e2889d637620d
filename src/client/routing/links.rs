//! Connections: how they come to stand, what nodes say of the cluster on them, and how they end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::answers::Doubt;
use super::calls::CallEnd;
use super::endpoints::End;
use super::link::{Condemned, Link, Stage, Standing};
use super::owed::{Owed, To};
use super::{LinkId, Routing};
use crate::types::{Membership, NodeId, ServerMessage};
use crate::wire::client_hello::{CLIENT_VERSIONS, ClientReason, ClientWelcome};

impl<E: CallEnd> Routing<E> {
    /// A node answered our hello.
    pub(in crate::client) fn welcomed(&mut self, id: LinkId, welcome: ClientWelcome) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Greeting { until } = link.stage else { return };
        if link.condemned.is_some() {
            return;
        }
        let accepted = match welcome {
            ClientWelcome::Refused(reason) => Err(refused(reason)),
            ClientWelcome::Accepted { version, .. }
                if !(CLIENT_VERSIONS.0..=CLIENT_VERSIONS.1).contains(&version) =>
            {
                Err(refused(ClientReason::NoCommonVersion))
            }
            ClientWelcome::Accepted { cluster, .. } if self.cluster.is_some_and(|own| own != cluster) => {
                let why = format!("it belongs to another cluster ({cluster})");
                Err(Condemned::Refused(why))
            }
            ClientWelcome::Accepted { cluster, node, frame_bytes_max, .. } => {
                Ok((cluster, node, frame_bytes_max))
            }
        };
        match accepted {
            Err(why) => self.condemn(id, why),
            Ok((cluster, node, frame_bytes_max)) => {
                link.stage = Stage::Welcomed { until, node, frame_bytes_max };
                self.cluster = Some(cluster);
                self.meet(id, node);
            }
        }
    }

    /// Somebody is known now by name: one connection with him is enough.
    fn meet(&mut self, id: LinkId, node: NodeId) {
        let is_double = self.linked().iter().filter(|linked| **linked == node).count() > 1;
        if let Some(link) = self.links.get(&id)
            && let Some(endpoint) = self.endpoints.get_mut(link.endpoint)
        {
            endpoint.found(node);
        }
        if is_double {
            self.condemn(id, Condemned::Double);
        }
    }

    /// A node said something.
    pub(in crate::client) fn told(&mut self, id: LinkId, message: ServerMessage, now: Instant) {
        match message {
            ServerMessage::Cluster { leader, members } => self.told_cluster(id, leader, members, now),
            ServerMessage::Reply { id: request, outcome } => self.told_reply(id, request, outcome, now),
        }
    }

    fn told_cluster(
        &mut self,
        id: LinkId,
        leader: Option<NodeId>,
        members: Vec<(NodeId, String)>,
        now: Instant,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.condemned.is_some() {
            return;
        }
        match &mut link.stage {
            Stage::Greeting { .. } => return self.condemn_failed(id, "it spoke before it was asked"),
            Stage::Welcomed { node, frame_bytes_max, .. } => {
                let (node, frame_bytes_max) = (*node, *frame_bytes_max);
                link.stage = Stage::Standing(Box::new(Standing::new(node, frame_bytes_max, now)));
            }
            Stage::Standing(_) => {}
        }
        let Some(standing) = link.standing_mut() else { return };
        standing.members = members;
        self.note_leader(id, leader);
        self.take_members(now);
        self.finish_contacts();
    }

    /// A node said who leads. Who leads instead of another casts doubt on that one.
    pub(super) fn note_leader(&mut self, id: LinkId, leader: Option<NodeId>) {
        self.told += 1;
        let told = self.told;
        let Some(standing) = self.links.get_mut(&id).and_then(Link::standing_mut) else { return };
        (standing.leader, standing.told, standing.is_suspect) = (leader, told, false);
        if leader != Some(standing.node) {
            return;
        }
        for (other, link) in &mut self.links {
            if *other != id
                && let Some(standing) = link.standing_mut()
            {
                standing.is_suspect |= standing.leader == Some(standing.node);
            }
        }
    }

    /// All that standing connections say of the membership, the latest word first where they differ.
    fn take_members(&mut self, now: Instant) {
        let mut standing: Vec<_> = self.links.values().filter_map(Link::standing).collect();
        standing.sort_unstable_by_key(|one| std::cmp::Reverse(one.told));
        let mut members = BTreeMap::new();
        for (node, address) in standing.into_iter().flat_map(|one| &one.members) {
            if members.len() < Membership::MEMBERS_MAX && !members.contains_key(node) {
                members.insert(*node, address.clone());
            }
        }
        self.endpoints.set_members(members, now);
    }

    /// Something was heard, whatever it was.
    pub(in crate::client) fn heard(&mut self, id: LinkId, now: Instant) {
        if let Some(standing) = self.links.get_mut(&id).and_then(Link::standing_mut) {
            standing.quiet_since = now;
        }
    }

    /// A connection, or an attempt at one, is over. Of the requests sent there the first `frames_written` left whole: of
    /// the others certainly nothing came.
    pub(in crate::client) fn lost(&mut self, id: LinkId, why: &str, frames_written: u64, now: Instant) {
        let Some(link) = self.links.remove(&id) else { return };
        let Link { endpoint, stage, condemned } = link;
        let (standing, owed) = match stage {
            Stage::Standing(standing) => {
                let Standing { since, answered, owed, .. } = *standing;
                (Some((now.saturating_duration_since(since), answered)), owed)
            }
            Stage::Greeting { .. } | Stage::Welcomed { .. } => (None, Owed::default()),
        };
        let is_idle = standing.is_some() && owed.is_empty();
        let (end, why) = match condemned {
            Some(Condemned::Double) => (End::Unneeded, "it is the same node as another".to_owned()),
            Some(Condemned::Refused(why)) => (End::Refused, why),
            Some(Condemned::Failed(why)) => (End::Failed, why),
            None if is_idle => (End::Unneeded, why.to_owned()),
            None => (End::Failed, why.to_owned()),
        };
        let (stood_for, answered) = standing.unwrap_or((Duration::ZERO, false));
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            log::debug!("the connection with {} is over: {why}", endpoint.address);
            endpoint.ended(end, why, stood_for, answered, now);
        }
        self.endpoints.forget();
        self.send_again(owed, frames_written, now);
        self.finish_contacts();
    }

    /// What was sent on a connection that is lost, in the order in which it was sent.
    fn send_again(&mut self, owed: Owed, frames_written: u64, now: Instant) {
        let unsettled: Vec<_> = owed.into_unsettled().collect();
        // The last goes to the front first: then they stand in their old order, before what was never sent.
        for (id, to) in unsettled.into_iter().rev() {
            match to {
                To::Call(key) => {
                    let doubt = if id < frames_written { Doubt::Left } else { Doubt::None };
                    self.attempt_ended(key, doubt, Duration::ZERO, now);
                }
                To::Session => self.session_not_opened(now),
                To::Sign | To::Nobody => {}
            }
        }
    }

    /// Who is at the other end of a connection.
    pub(super) fn linked(&self) -> Vec<NodeId> {
        let alive = self.links.values().filter(|link| link.condemned.is_none());
        alive.filter_map(Link::node).collect()
    }

    pub(super) fn condemn_failed(&mut self, id: LinkId, why: &str) {
        self.condemn(id, Condemned::Failed(why.to_owned()));
    }

    /// Nothing that comes there counts any more, and nothing is sent.
    pub(super) fn condemn(&mut self, id: LinkId, why: Condemned) {
        if let Some(link) = self.links.get_mut(&id)
            && link.condemned.is_none()
        {
            link.condemned = Some(why);
            self.ready.close.push(id);
        }
    }
}

/// A reason that goes away by itself is as good as a failure.
fn refused(reason: ClientReason) -> Condemned {
    let why = format!("it refuses us: {reason}");
    match reason {
        ClientReason::NoCluster | ClientReason::TooMany | ClientReason::Stopping => Condemned::Failed(why),
        ClientReason::Malformed
        | ClientReason::NoCommonVersion
        | ClientReason::WrongToken
        | ClientReason::OtherCluster
        | ClientReason::NoServer
        | ClientReason::Unknown(_) => Condemned::Refused(why),
    }
}
