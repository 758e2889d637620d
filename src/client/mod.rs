//! The client.

#[expect(dead_code, reason = "soon")]
mod routing;
