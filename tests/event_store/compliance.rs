//! `compliance.md` names a test for each case; this holds it to its word.

#[path = "../scenarios/catalogue.rs"]
mod catalogue;

use catalogue::Catalogue;

/// The groups of cases, and how many each has.
const GROUPS: &[(&str, usize)] =
    &[("L", 5), ("E", 8), ("A", 5), ("I", 7), ("S", 6), ("R", 8), ("C", 9), ("F", 13), ("B", 13), ("N", 7)];

const CASES: Catalogue = Catalogue { path: "tests/event_store/compliance.md", groups: GROUPS, later: &[] };

#[test]
fn every_case_has_its_row_and_no_row_stands_twice() {
    CASES.assert_complete();
}

#[test]
fn every_test_that_a_case_names_is_there_and_runs() {
    CASES.assert_tests_run();
}
