//! Whether two nodes may talk: each judges what the other says of itself, before anything else is believed.
//!
//! Absence from the membership is no reason to refuse: a membership on the way may be newer than ours.
//!
//! A node that waits to be added has no cluster. It dials nobody, since a hello must name one, and it takes the cluster of
//! the first hello that is good in all else for its own: from then on it judges as every other node does.

use crate::types::{ClusterId, Incarnation, NodeId};
use crate::wire::frame::PROTOCOL_VERSION;
use crate::wire::greeting::Secret;
use crate::wire::hello::{Answer, Hello, Lane, Reason};

/// The versions of the protocol that this build speaks.
const VERSIONS: (u8, u8) = (PROTOCOL_VERSION, PROTOCOL_VERSION);

/// Who this node is on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// Its id.
    pub(crate) node: NodeId,
    /// Its cluster; `None` while it waits to be added to one.
    pub(crate) cluster: Option<ClusterId>,
    /// Its data directory.
    pub(crate) incarnation: Incarnation,
    /// Where others reach it.
    pub(crate) advertised: String,
    /// What all nodes of the cluster know.
    pub(crate) token: Secret,
}

impl Local {
    /// What we say when we dial `peer`.
    ///
    /// # Panics
    /// If we have no cluster: then nobody is dialled.
    pub(super) fn hello_to(&self, peer: NodeId, lane: Lane) -> Hello {
        Hello {
            versions: VERSIONS,
            cluster: self.cluster.expect("a node without a cluster dials nobody"),
            node: self.node,
            destination: peer,
            incarnation: self.incarnation,
            address: self.advertised.clone(),
            token: self.token.clone(),
            lane,
        }
    }

    /// What we say to `hello`; `expected` is the data directory that its sender must show, if we know. The token is
    /// judged first: who does not know it learns nothing else.
    pub(super) fn answer_to(&self, hello: &Hello, expected: Option<Incarnation>) -> Answer {
        let version = VERSIONS.1.min(hello.versions.1);
        let refusal = if hello.token != self.token {
            Some(Reason::WrongToken)
        } else if version < VERSIONS.0.max(hello.versions.0) {
            Some(Reason::NoCommonVersion)
        } else if self.cluster.is_some_and(|own| own != hello.cluster) {
            Some(Reason::OtherCluster)
        } else if hello.destination != self.node {
            Some(Reason::WrongDestination)
        } else if hello.node == self.node {
            Some(Reason::Malformed)
        } else if expected.is_some_and(|expected| expected != hello.incarnation) {
            Some(Reason::ContradictingIncarnation)
        } else {
            None
        };
        match refusal {
            Some(reason) => Answer::Refused(reason),
            None => Answer::Accepted {
                version,
                cluster: hello.cluster,
                node: self.node,
                incarnation: self.incarnation,
            },
        }
    }

    /// Whether the one who answered our hello to `peer` is that peer: the data directory it showed, or why not.
    pub(super) fn judge(
        &self,
        answer: Answer,
        peer: NodeId,
        expected: Option<Incarnation>,
    ) -> Result<Incarnation, Reason> {
        match answer {
            Answer::Refused(reason) => Err(reason),
            Answer::Accepted { version, .. } if !(VERSIONS.0..=VERSIONS.1).contains(&version) => {
                Err(Reason::NoCommonVersion)
            }
            Answer::Accepted { cluster, .. } if Some(cluster) != self.cluster => Err(Reason::OtherCluster),
            Answer::Accepted { node, .. } if node != peer => Err(Reason::WrongDestination),
            Answer::Accepted { incarnation, .. } if expected.is_some_and(|known| known != incarnation) => {
                Err(Reason::ContradictingIncarnation)
            }
            Answer::Accepted { incarnation, .. } => Ok(incarnation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn local(id: u64) -> Local {
        Local {
            node: node(id),
            cluster: Some(ClusterId(7)),
            incarnation: Incarnation(id * 100),
            advertised: format!("host{id}:7001"),
            token: Secret::new(b"sesame".to_vec()),
        }
    }

    fn refusal(change: impl FnOnce(&mut Hello)) -> Answer {
        let mut hello = local(1).hello_to(node(2), Lane::Ordinary);
        change(&mut hello);
        local(2).answer_to(&hello, Some(Incarnation(100)))
    }

    #[test]
    fn members_of_one_cluster_accept_each_other() {
        let hello = local(1).hello_to(node(2), Lane::Ordinary);

        let answer = local(2).answer_to(&hello, None);

        assert_eq!(local(1).judge(answer, node(2), Some(Incarnation(200))), Ok(Incarnation(200)));
    }

    #[test]
    fn each_contradiction_is_refused_by_its_name() {
        let refused = Answer::Refused;

        assert_eq!(refusal(|hello| hello.token = Secret::default()), refused(Reason::WrongToken));
        assert_eq!(
            refusal(|hello| hello.versions = (PROTOCOL_VERSION + 1, 9)),
            refused(Reason::NoCommonVersion)
        );
        assert_eq!(
            refusal(|hello| hello.versions = (0, PROTOCOL_VERSION - 1)),
            refused(Reason::NoCommonVersion)
        );
        assert_eq!(refusal(|hello| hello.cluster = ClusterId(8)), refused(Reason::OtherCluster));
        assert_eq!(refusal(|hello| hello.destination = node(3)), refused(Reason::WrongDestination));
        assert_eq!(refusal(|hello| hello.node = node(2)), refused(Reason::Malformed));
        let replaced = refusal(|hello| hello.incarnation = Incarnation(101));
        assert_eq!(replaced, refused(Reason::ContradictingIncarnation));
    }

    #[test]
    fn who_has_no_cluster_accepts_any_and_refuses_all_else_as_others_do() {
        let joiner = Local { cluster: None, ..local(2) };
        let hello = Hello { cluster: ClusterId(8), ..local(1).hello_to(node(2), Lane::Ordinary) };
        let answer = |hello| joiner.answer_to(&hello, None);

        let accepted = answer(hello.clone());
        assert!(matches!(accepted, Answer::Accepted { cluster: ClusterId(8), .. }));
        let wrong = Hello { destination: node(3), ..hello.clone() };
        assert_eq!(answer(wrong), Answer::Refused(Reason::WrongDestination));
        let untold = Hello { token: Secret::default(), ..hello };
        assert_eq!(answer(untold), Answer::Refused(Reason::WrongToken));
    }

    #[test]
    fn a_later_version_that_still_speaks_ours_is_accepted_with_ours() {
        assert!(matches!(
            refusal(|hello| hello.versions = (1, 9)),
            Answer::Accepted { version: PROTOCOL_VERSION, .. }
        ));
    }

    #[test]
    fn an_answer_is_judged_as_strictly_as_a_hello() {
        let accepted = |node, cluster, version| Answer::Accepted {
            version,
            cluster: ClusterId(cluster),
            node,
            incarnation: Incarnation(200),
        };
        let judge = |answer, expected| local(1).judge(answer, node(2), expected);

        assert_eq!(judge(accepted(node(3), 7, PROTOCOL_VERSION), None), Err(Reason::WrongDestination));
        assert_eq!(judge(accepted(node(2), 8, PROTOCOL_VERSION), None), Err(Reason::OtherCluster));
        assert_eq!(judge(accepted(node(2), 7, PROTOCOL_VERSION + 1), None), Err(Reason::NoCommonVersion));
        let other = Some(Incarnation(201));
        assert_eq!(
            judge(accepted(node(2), 7, PROTOCOL_VERSION), other),
            Err(Reason::ContradictingIncarnation)
        );
        assert_eq!(judge(Answer::Refused(Reason::WrongToken), None), Err(Reason::WrongToken));
    }
}
