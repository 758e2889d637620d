//! What the program takes and gives at most.

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A key.
pub(crate) const KEY_BYTES_MAX: usize = 64 * KIB;
/// A value, and every other argument.
pub(crate) const VALUE_BYTES_MAX: usize = 8 * MIB;
/// All arguments of one request, with what RESP puts around them.
pub(crate) const REQUEST_BYTES_MAX: usize = 12 * MIB;
/// The arguments of one request.
pub(crate) const ARGUMENTS_MAX: usize = 1_000_000;
/// One reply.
pub(crate) const REPLY_BYTES_MAX: usize = 64 * MIB;
/// A command as it stands in the log: never longer than the request it came from, give or take its head.
pub(crate) const COMMAND_BYTES_MAX: usize = REQUEST_BYTES_MAX + KIB;

/// An inline command, or the head of an array or a bulk string. As in Redis.
pub(crate) const LINE_BYTES_MAX: usize = 64 * KIB;
/// A bulk string that is skipped in order to refuse it by name; a longer one closes the connection. As in Redis.
pub(crate) const SKIPPED_BYTES_MAX: usize = 512 * MIB;

/// Clients at a time. Each has two threads.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// Requests of one connection that wait for their answers.
pub(crate) const IN_FLIGHT_MAX: usize = 1_024;
/// Their bytes.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 24 * MIB;

const _: () = assert!(
    KEY_BYTES_MAX <= VALUE_BYTES_MAX && VALUE_BYTES_MAX < REQUEST_BYTES_MAX,
    "a value fits its request"
);
const _: () = assert!(VALUE_BYTES_MAX < REPLY_BYTES_MAX, "every value can be read back");
const _: () = assert!(REQUEST_BYTES_MAX <= IN_FLIGHT_BYTES_MAX, "every request can be under way");
