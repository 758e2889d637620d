//! How a room declares what it counts: one list gives the fields, their names and their help.

use super::{Counter, Histogram};

/// One number with its name, for whoever writes them out.
pub(super) struct Sample<'a> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) value: Value<'a>,
}

/// What is counted, and how.
pub(super) enum Value<'a> {
    /// Only grows.
    Counter(&'a Counter),
    /// Is set.
    Gauge(&'a Counter),
    /// Durations, in nanoseconds.
    Histogram(&'a Histogram),
}

/// Declares a struct of numbers: `counter name: "help";`, `gauge name: "help";` or `histogram name: "help";` for each.
macro_rules! metrics {
    ($(#[$about:meta])* $name:ident { $($kind:ident $field:ident: $help:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(#[doc = $help] pub $field: metrics!(@$kind),)*
        }

        impl $name {
            /// Every number, in the order of its declaration.
            pub(super) fn samples(&self) -> Vec<$crate::metrics::registry::Sample<'_>> {
                vec![$($crate::metrics::registry::Sample {
                    name: stringify!($field),
                    help: $help,
                    value: metrics!(@$kind &self.$field),
                },)*]
            }
        }
    };
    (@counter) => { $crate::metrics::Counter };
    (@gauge) => { $crate::metrics::Counter };
    (@histogram) => { $crate::metrics::Histogram };
    (@counter $value:expr) => { $crate::metrics::registry::Value::Counter($value) };
    (@gauge $value:expr) => { $crate::metrics::registry::Value::Gauge($value) };
    (@histogram $value:expr) => { $crate::metrics::registry::Value::Histogram($value) };
}

pub(super) use metrics;
