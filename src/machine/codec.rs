//! Bytes in, bytes out: how commands, queries and responses travel and rest.

use bytes::Bytes;

/// A type with a byte form. The form is part of your log and your protocol: what one version wrote, the next must read.
///
/// For a type of your own, begin with a byte that tells its forms apart:
///
/// ```
/// use quorate::{Codec, DecodeError};
///
/// enum Command {
///     Remove(String),
///     Add(i64),
/// }
///
/// impl Codec for Command {
///     fn encode(&self, out: &mut Vec<u8>) {
///         match self {
///             Self::Remove(name) => {
///                 out.push(1);
///                 name.encode(out);
///             }
///             Self::Add(number) => {
///                 out.push(2);
///                 number.encode(out);
///             }
///         }
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
///         match bytes {
///             [1, name @ ..] => String::decode(name).map(Self::Remove),
///             [2, number @ ..] => i64::decode(number).map(Self::Add),
///             _ => Err(DecodeError::new("no command begins so")),
///         }
///     }
/// }
/// # let mut bytes = Vec::new();
/// # Command::Add(7).encode(&mut bytes);
/// # assert!(matches!(Command::decode(&bytes), Ok(Command::Add(7))));
/// ```
///
/// A string, or bytes, take up all that is left: whatever stands before something else needs its length in front.
///
/// Bytes that a follower cannot decode once they are committed stop it
/// ([`StopCause::Undecodable`](crate::StopCause::Undecodable)): teach every node a new form before any node writes it.
pub trait Codec: Sized + Send + 'static {
    /// Appends the byte form to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a byte form that takes up all of `bytes`.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Bytes that are not the form of the type asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What is wrong with them.
    pub reason: String,
}

impl DecodeError {
    /// An error that says `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl Codec for () {
    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() { Ok(()) } else { Err(DecodeError::new("expected no bytes")) }
    }
}

impl Codec for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(DecodeError::new("expected one byte, 0 or 1")),
        }
    }
}

/// Fixed width, little endian.
macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Codec for $integer {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let wrong = |_| DecodeError::new(concat!("expected the bytes of one ", stringify!($integer)));
                bytes.try_into().map(Self::from_le_bytes).map_err(wrong)
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl Codec for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| DecodeError::new(error.to_string()))
    }
}

impl Codec for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl Codec for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::copy_from_slice(bytes))
    }
}

/// Nothing, or a one and the value.
impl<T: Codec> Codec for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            out.push(1);
            value.encode(out);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [] => Ok(None),
            [1, value @ ..] => T::decode(value).map(Some),
            _ => Err(DecodeError::new("expected nothing, or a 1 and a value")),
        }
    }
}

/// A zero and the value, or a one and the error.
impl<T: Codec, E: Codec> Codec for Result<T, E> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Ok(value) => {
                out.push(0);
                value.encode(out);
            }
            Err(error) => {
                out.push(1);
                error.encode(out);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [0, value @ ..] => T::decode(value).map(Ok),
            [1, error @ ..] => E::decode(error).map(Err),
            _ => Err(DecodeError::new("expected a 0 and a value, or a 1 and an error")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Codec + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert_eq!(T::decode(&bytes), Ok(value));
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        round_trip(());
        round_trip(true);
        round_trip(u64::MAX);
        round_trip(i8::MIN);
        round_trip("zwölf".to_owned());
        round_trip(vec![0_u8, 255]);
        round_trip(Bytes::from_static(b"bytes"));
        round_trip(None::<u32>);
        round_trip(Some(()));
        round_trip(Ok::<u16, String>(7));
        round_trip(Err::<u16, String>("no".to_owned()));
    }

    #[test]
    fn bytes_of_another_form_are_refused() {
        assert!(<()>::decode(&[0]).is_err());
        assert!(bool::decode(&[2]).is_err());
        assert!(u32::decode(&[1, 2, 3]).is_err());
        assert!(String::decode(&[0xFF]).is_err());
        assert!(Option::<u8>::decode(&[0]).is_err());
        assert!(Result::<u8, u8>::decode(&[]).is_err());
    }
}
