//! How a room declares what it counts: one list gives the fields, their names and their help.

use super::Counter;

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One number with its name, for whoever writes them out.
pub(super) struct Sample<'a> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) value: &'a Counter,
}

/// Declares a struct of [`Counter`]s: `counter name: "help";` or `gauge name: "help";` for each.
macro_rules! metrics {
    ($(#[$about:meta])* $name:ident { $($kind:ident $field:ident: $help:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(#[doc = $help] pub $field: $crate::metrics::Counter,)*
        }

        impl $name {
            /// Every number, in the order of its declaration.
            pub(super) fn samples(&self) -> Vec<$crate::metrics::registry::Sample<'_>> {
                vec![$($crate::metrics::registry::Sample {
                    name: stringify!($field),
                    kind: metrics!(@$kind),
                    help: $help,
                    value: &self.$field,
                },)*]
            }
        }
    };
    (@counter) => { $crate::metrics::registry::Kind::Counter };
    (@gauge) => { $crate::metrics::registry::Kind::Gauge };
}

pub(super) use metrics;
