//! The one place where the network looks at a clock: silence, back-off and the patience with strangers are matters of
//! real time, and of no replica's.

use std::time::Instant;

/// The time now, not counting a suspended machine.
#[expect(
    clippy::disallowed_methods,
    reason = "connections age by real time, and nothing of it reaches consensus"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
