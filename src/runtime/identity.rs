//! Whose data directory this is: founded now, recognised, or waiting to join.

use super::bootstrap::{cluster_id, founding_entry, is_named, name_half, random};
use super::config::Judged;
use super::{Config, StartError};
use crate::storage::{Identity, Recovered, Storage, StorageError};
use crate::transport::LocalNode;
use crate::types::{ClusterId, GroupId, HardState, Incarnation, LogPosition, Membership};

/// Who this node is from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) node: LocalNode,
    /// Its log began empty, in a cluster that was there already.
    pub(super) joined: bool,
}

impl Local {
    /// What its storage is founded as once the cluster is known.
    pub(super) fn identity_in(self, cluster: ClusterId) -> Identity {
        Identity { node: self.node.id, cluster, incarnation: self.node.incarnation, joined: self.joined }
    }
}

impl From<Identity> for Local {
    fn from(identity: Identity) -> Self {
        let Identity { node: id, cluster, incarnation, joined } = identity;
        Self { node: LocalNode { id, cluster: Some(cluster), incarnation }, joined }
    }
}

/// A storage that holds a cluster is taken as it is, if it is this node's and of this name. A blank one is founded; or
/// left blank if the node shall join: its first hello will name the cluster.
pub(super) fn found_or_recognise(
    config: &Config,
    judged: &Judged,
    storage: &mut dyn Storage,
) -> Result<(Local, Recovered), StartError> {
    let local = match (storage.identity(), &judged.founders) {
        (Some(identity), _) => {
            recognise(config, judged, identity)?;
            Local::from(identity)
        }
        (None, Some(founders)) => {
            let cluster = cluster_id(&config.cluster_name, founders);
            let incarnation = Incarnation::of_founder(random()?);
            let identity = Identity { node: judged.id, cluster, incarnation, joined: false };
            storage.found(identity, &[(GroupId::MAIN, Some(founding_entry(founders.clone())))])?;
            warn_of_founding_alone(config, judged, founders);
            Local::from(identity)
        }
        (None, None) if judged.joins => {
            let incarnation = Incarnation::of_joiner(random()?);
            let node = LocalNode { id: judged.id, cluster: None, incarnation };
            return Ok((Local { node, joined: true }, nothing()));
        }
        (None, None) => return Err(StartError::NoCluster),
    };
    let recovered = storage.recovered().remove(&GroupId::MAIN).ok_or(StartError::NoCluster)?;
    Ok((local, recovered))
}

/// A founder among others that lost its disk is refused by them. One that founded alone asks nobody.
fn warn_of_founding_alone(config: &Config, judged: &Judged, founders: &Membership) {
    if founders.voters() == [judged.id] {
        log::warn!(
            "{} was blank: node {} founded a cluster of its own there. If it belonged to one that has grown since, stop \
             it, remove it there, and start it with join() on an empty directory",
            config.dir.display(),
            judged.id
        );
    }
}

/// What a storage holds that is not founded yet.
fn nothing() -> Recovered {
    Recovered {
        hard_state: HardState::default(),
        starts_after: LogPosition::ZERO,
        membership: None,
        entries: Vec::new(),
    }
}

fn recognise(config: &Config, judged: &Judged, identity: Identity) -> Result<(), StartError> {
    let path = config.dir.clone();
    if identity.node != judged.id {
        return Err(StorageError::WrongNode { path, expected: judged.id, found: identity.node }.into());
    }
    let listed = judged.founders.as_ref().map(|founders| cluster_id(&config.cluster_name, founders));
    if !is_named(identity.cluster, &config.cluster_name) {
        let expected = listed.unwrap_or_else(|| ClusterId(name_half(&config.cluster_name)));
        return Err(StorageError::WrongCluster { path, expected, found: identity.cluster }.into());
    }
    // A node that joined has no founding list: whatever is given was made for another directory.
    if listed.is_some_and(|listed| listed != identity.cluster) {
        log::warn!(
            "{} holds cluster {}, which was founded with another list than the one given: the directory wins",
            path.display(),
            identity.cluster
        );
    }
    Ok(())
}
