//! The checker of histories is itself checked: it accepts what a sequential object did, however its clients overlap, it
//! agrees with trying all orders, and it notices every kind of fault that it is there for.

#[path = "linearizability/mod.rs"]
mod linearizability;

#[path = "linearizability/tests/exhaustive.rs"]
mod exhaustive;
#[path = "linearizability/tests/faults.rs"]
mod faults;
#[path = "linearizability/tests/generated.rs"]
mod generated;
#[path = "linearizability/tests/scene.rs"]
mod scene;
