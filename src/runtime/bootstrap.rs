//! The first entry of a log, and the name of the cluster that follows from it.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::StartError;
use crate::types::{ClusterId, Entry, LogIndex, LogPosition, Membership, Payload, Term};

/// Entry 1 of every log: made of the founding list alone, so that every founder makes the same.
pub(crate) fn founding_entry(membership: Membership) -> Entry {
    let position = LogPosition::new(Term::ZERO, LogIndex::ZERO.next());
    Entry { position, payload: Payload::Membership(Arc::new(membership)) }
}

/// The upper half names the cluster as its operator does, the lower half its founding list: so a directory made under
/// another name is recognised without its first entry, which may be compacted away.
pub(crate) fn cluster_id(name: &str, membership: &Membership) -> ClusterId {
    let mut list = SipHasher13::new();
    write_sized(&mut list, name.as_bytes());
    for (id, member) in membership.members() {
        list.write(&id.get().to_le_bytes());
        write_sized(&mut list, member.address.as_bytes());
    }
    ClusterId(name_half(name) | list.finish() >> 32)
}

/// Whether a directory's cluster was made under `name`.
pub(super) fn is_named(cluster: ClusterId, name: &str) -> bool {
    cluster.0 >> 32 == name_half(name) >> 32
}

/// The part of a cluster's id that its name alone decides; the rest is zero.
pub(super) fn name_half(name: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish() & !u64::from(u32::MAX)
}

/// Length first: no two lists run together.
fn write_sized(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write(&(bytes.len() as u64).to_le_bytes());
    hasher.write(bytes);
}

/// A random number from the operating system.
pub(super) fn random() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)
            .map_err(|error| StartError::System { what: "randomness", source: error.into() })?;
    }
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn founders(list: &[(u64, &str)]) -> Membership {
        let members =
            list.iter().map(|&(id, address)| (NodeId::new(id).expect("not zero"), address.to_owned()));
        Membership::founding(members).expect("a good list")
    }

    #[test]
    fn the_order_of_the_list_does_not_matter_but_every_word_of_it_does() {
        let id = cluster_id("", &founders(&[(1, "a:1"), (2, "b:2")]));

        assert_eq!(id, cluster_id("", &founders(&[(2, "b:2"), (1, "a:1")])));
        assert_ne!(id, cluster_id("", &founders(&[(1, "a:1"), (3, "b:2")])));
        assert_ne!(id, cluster_id("", &founders(&[(1, "a:1"), (2, "b:3")])));
        assert_ne!(id, cluster_id("x", &founders(&[(1, "a:1"), (2, "b:2")])));
    }

    #[test]
    fn a_cluster_knows_its_name_without_its_list() {
        let id = cluster_id("blue", &founders(&[(1, "a:1")]));

        assert!(is_named(id, "blue"));
        assert!(!is_named(id, "green"));
    }

    #[test]
    fn the_id_of_a_list_never_changes_between_versions() {
        assert_eq!(cluster_id("blue", &founders(&[(1, "a:1"), (2, "b:2")])).to_string(), "2aa01827294df76d");
    }
}
