//! The ids of aggregates: lists of parts, and the one byte form that all keys are made of.
//!
//! A part may be any bytes, also none. The key of an id is its parts one after the other, each with every byte 0 in it
//! written as `00 FF`, and `00 01` behind it. So
//!
//! - no two ids have one key, whatever stands in their parts: `["a", "b"]` and `["ab"]`, `[""]` and `[]` differ;
//! - an id begins with the parts of another one exactly if its key begins with the other's key;
//! - keys sort as lists of parts do: part by part, and a list before those that go on.
//!
//! An id is held as its key: to clone it copies nothing, and to look it up encodes nothing.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::limits::{ID_BYTES_MAX, ID_PARTS_MAX, Invalid};

/// Names an aggregate: an ordered list of parts, each of any bytes.
///
/// ```
/// use quorate::event_store::AggregateId;
///
/// let order = AggregateId::new(["order", "42"])?;
/// assert!(order.has_prefix(&AggregateId::new(["order"])?));
/// assert!(!order.has_prefix(&AggregateId::new(["ord"])?), "parts are compared as a whole");
/// assert_ne!(order, AggregateId::new(["order:42"])?);
/// assert_eq!(order.to_string(), r#"["order","42"]"#);
/// # Ok::<(), quorate::event_store::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateId {
    key: Bytes,
}

impl AggregateId {
    /// The id of no parts: names no aggregate, and is the prefix of every one.
    pub const ALL: Self = Self { key: Bytes::new() };

    /// An id of these parts.
    pub fn new<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Result<Self, Invalid> {
        let (mut key, mut count) = (Vec::new(), 0);
        for part in parts {
            escape(part.as_ref(), &mut key);
            count += 1;
        }
        Self::judge(count, key.len())?;
        Ok(Self { key: key.into() })
    }

    /// The parts, in their order.
    pub fn parts(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let mut rest = &*self.key;
        std::iter::from_fn(move || {
            let (part, behind) = unescape(rest)?;
            rest = behind;
            Some(part)
        })
    }

    /// Whether the parts begin with those of `prefix`.
    pub fn has_prefix(&self, prefix: &Self) -> bool {
        self.key.starts_with(&prefix.key)
    }

    /// Whether it has no parts.
    pub fn is_empty(&self) -> bool {
        self.key.is_empty()
    }

    /// The byte form.
    pub(super) fn as_key(&self) -> &[u8] {
        &self.key
    }

    /// From a byte form, which is judged.
    pub(super) fn from_key(key: Bytes) -> Result<Self, Invalid> {
        let (mut rest, mut count) = (&*key, 0);
        while !rest.is_empty() {
            let (_, behind) = unescape(rest).ok_or(Invalid::Key)?;
            rest = behind;
            count += 1;
        }
        Self::judge(count, key.len())?;
        Ok(Self { key })
    }

    fn judge(parts: usize, key_bytes: usize) -> Result<(), Invalid> {
        Invalid::judge("an aggregate's id", "parts", parts, ID_PARTS_MAX)?;
        Invalid::judge_bytes("an aggregate's id", key_bytes, ID_BYTES_MAX)
    }
}

impl fmt::Display for AggregateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, part) in self.parts().enumerate() {
            f.write_str(if nth == 0 { "[" } else { "," })?;
            match str::from_utf8(&part) {
                Ok(text) => write!(f, "{text:?}")?,
                Err(_) => write!(f, "\"{}\"", part.escape_ascii())?,
            }
        }
        f.write_str(if self.is_empty() { "[]" } else { "]" })
    }
}

impl fmt::Debug for AggregateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Appends `part` so that its end can be told from anything within it.
pub(super) fn escape(part: &[u8], out: &mut Vec<u8>) {
    for &byte in part {
        out.push(byte);
        if byte == 0 {
            out.push(ESCAPED);
        }
    }
    out.extend_from_slice(&[0, END]);
}

/// The part that `bytes` begin with, and what stands behind it; nothing if no whole part does.
pub(super) fn unescape(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (mut part, mut rest) = (Cow::Borrowed(&[][..]), bytes);
    loop {
        let zero = rest.iter().position(|byte| *byte == 0)?;
        let (front, behind) = (&rest[..zero], &rest[zero + 1..]);
        let (&mark, behind) = behind.split_first()?;
        match mark {
            END if part.is_empty() => return Some((Cow::Borrowed(front), behind)),
            END => {
                part.to_mut().extend_from_slice(front);
                return Some((part, behind));
            }
            ESCAPED => {
                part.to_mut().extend_from_slice(front);
                part.to_mut().push(0);
                rest = behind;
            }
            _ => return None,
        }
    }
}

/// Behind a zero: it is one of the part's own bytes.
const ESCAPED: u8 = 0xFF;
/// Behind a zero: the part ends before it.
const END: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lists of parts in which the marks of the byte form stand everywhere.
    fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = prop::sample::select(&[0, END, ESCAPED, b'a'][..]);
        prop::collection::vec(prop::collection::vec(byte, 0..4), 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn keys_are_equal_sort_and_begin_as_lists_of_parts_do(one in parts(), two in parts()) {
            let (first, second) = (AggregateId::new(&one).unwrap(), AggregateId::new(&two).unwrap());

            prop_assert_eq!(first.cmp(&second), one.cmp(&two));
            prop_assert_eq!(first == second, one == two);
            prop_assert_eq!(first.has_prefix(&second), one.starts_with(&two));
            prop_assert_eq!(first.parts().map(Cow::into_owned).collect::<Vec<_>>(), one);
            prop_assert_eq!(AggregateId::from_key(first.key.clone()), Ok(first));
        }

        #[test]
        fn bytes_are_an_ids_key_only_if_it_is_made_of_its_parts(key in prop::collection::vec(any::<u8>(), 0..12)) {
            let key = Bytes::from(key);
            if let Ok(id) = AggregateId::from_key(key.clone()) {
                let parts: Vec<_> = id.parts().map(Cow::into_owned).collect();
                prop_assert_eq!(AggregateId::new(parts).unwrap().key, key);
            }
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for key in [&b"a"[..], b"a\0", b"a\0\x02", b"\0", b"\0\xFF", b"a\0\x01b"] {
            assert_eq!(AggregateId::from_key(Bytes::from_static(key)), Err(Invalid::Key), "{key:?}");
        }
    }

    #[test]
    fn an_id_is_shown_with_its_parts_in_quotes() {
        let id = |parts: &[&[u8]]| AggregateId::new(parts).unwrap().to_string();

        assert_eq!(id(&[]), "[]");
        assert_eq!(id(&[b""]), r#"[""]"#);
        assert_eq!(id(&[b"a\"b", b"c"]), r#"["a\"b","c"]"#);
        assert_eq!(id(&[&[0xFF, b'x']]), r#"["\xffx"]"#);
    }
}
