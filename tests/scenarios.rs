//! The catalogue of scenarios (`scenarios.md`) names a test for each; this holds it to its word.

#[path = "scenarios/catalogue.rs"]
mod catalogue;

use catalogue::{Catalogue, Row, has_test, rows};

/// The groups of the catalogue, and how many scenarios each has.
const GROUPS: &[(&str, usize)] = &[
    ("E", 18),
    ("PV", 13),
    ("CQ", 8),
    ("R", 15),
    ("C", 12),
    ("CM", 7),
    ("FL", 9),
    ("S", 22),
    ("M", 37),
    ("T", 13),
    ("RD", 18),
    ("RS", 15),
    ("U", 10),
    ("P", 16),
    ("K", 14),
    ("F", 15),
    ("N", 22),
    ("D", 200),
];

/// Scenarios of parts that are not there yet: without a row until they are.
const LATER: &[&str] = &[];

const SCENARIOS: Catalogue = Catalogue { path: "tests/scenarios.md", groups: GROUPS, later: LATER };

#[test]
fn every_scenario_has_its_row_and_no_row_stands_twice() {
    SCENARIOS.assert_complete();
}

#[test]
fn every_test_that_the_catalogue_names_is_there_and_runs() {
    SCENARIOS.assert_tests_run();
}

#[test]
fn a_range_stands_for_each_of_its_ids_and_a_void_row_needs_no_test() {
    let table = "| D1-D3 | holds | `a::b` |\n| D9 | Void: there is none | |\n| D5-D4 | turned | `a::b` |";
    let rows: Vec<_> = rows(table).collect();

    let ids: Vec<_> = rows.iter().map(Row::ids).collect();
    assert_eq!(ids, [vec!["D1", "D2", "D3"], vec!["D9"], vec!["D5-D4"]]);
    assert_eq!(rows.iter().map(|row| row.is_void).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_missing_an_ignored_and_a_commented_test_are_noticed() {
    let text = "#[test]\nfn runs() {}\n\n#[test]\n#[ignore]\nfn sleeps() {}\n\nfn helps() {}\n// #[test]\n// fn was() {}
        mod deep {\n    fn varies() {}\n}\nproptest! {\n    #[test]\n    fn varies(seed in 0..9) {}\n}\n";

    assert!(has_test(text, "runs") && has_test(text, "varies"));
    for name in ["sleeps", "helps", "was", "run"] {
        assert!(!has_test(text, name), "{name}");
    }
}
