//! What has become of a proposal, known by its position.

/// What is known of the entry that was proposed at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It may be committed yet, or be replaced.
    Pending,
    /// It is committed, for ever.
    Committed,
    /// Another entry took its place: it never takes effect.
    Superseded,
    /// A snapshot covers its index: whether it was this entry is not known here any more.
    Compacted,
}
