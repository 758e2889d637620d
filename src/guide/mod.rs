//! Pages for those who want to know more than the reference says.

#[doc = include_str!("how_quorate_is_tested.md")]
pub mod how_quorate_is_tested {}
