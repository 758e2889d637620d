//! The byte forms of what a log holds, for those who keep a log of their own: the ones that quorate writes itself.

use bytes::Bytes;

use super::{Codec, DecodeError};
use crate::types::{Membership, Payload};
use crate::wire::{self, Reader, WireError};

/// As in the log on disk. The position of its entry stands outside, and so does the length.
impl Codec for Payload {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::encode_payload(self, out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::decode_payload(Bytes::copy_from_slice(bytes)).map_err(refused)
    }
}

/// As in the log on disk.
impl Codec for Membership {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::encode_membership(self, out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let membership = wire::decode_membership(&mut reader).map_err(refused)?;
        reader.finish("membership").map_err(refused)?;
        Ok(membership)
    }
}

fn refused(error: WireError) -> DecodeError {
    DecodeError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    #[test]
    fn a_membership_and_an_entry_that_holds_it_decode_to_themselves_and_to_nothing_longer() {
        let members = [1, 2].map(|id| (NodeId::new(id).unwrap(), format!("host-{id}:1")));
        let membership = Membership::founding(members).unwrap();
        let payload = Payload::Membership(membership.clone().into());
        let (mut alone, mut within) = (Vec::new(), Vec::new());
        membership.encode(&mut alone);
        payload.encode(&mut within);

        assert_eq!(Membership::decode(&alone), Ok(membership));
        assert_eq!(Payload::decode(&within), Ok(payload));
        for form in [&mut alone, &mut within] {
            form.push(0);
        }
        assert!(Membership::decode(&alone).is_err() && Payload::decode(&within).is_err());
        assert!(Membership::decode(&[]).is_err() && Payload::decode(&[]).is_err());
    }
}
