//! Knows the runtime's own threads: a blocking call made there would wait for itself.

use std::cell::Cell;

thread_local! {
    static RUNTIME: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one of the runtime's, for the rest of its life.
pub(crate) fn enter_runtime_thread() {
    RUNTIME.set(true);
}

/// Whether this is a thread of the runtime, where nothing may block.
pub(crate) fn on_runtime_thread() -> bool {
    RUNTIME.get()
}
