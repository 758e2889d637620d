//! The catalogue of scenarios (`scenarios.md`) names a test for each; this holds it to its word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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

/// One row: the scenario's id, or several as `D1-D8`; what it shows, and where. A void one shows nothing, and says why.
struct Row<'a> {
    id: &'a str,
    is_void: bool,
    tests: Vec<&'a str>,
}

impl Row<'_> {
    /// Each id that the row stands for.
    fn ids(&self) -> Vec<String> {
        let Some((first, last)) = self.id.split_once('-') else { return vec![self.id.to_owned()] };
        let group = first.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = |id: &str| id.strip_prefix(group).and_then(|number| number.parse::<u32>().ok());
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first < last => {
                (first..=last).map(|n| format!("{group}{n}")).collect()
            }
            _ => vec![self.id.to_owned()],
        }
    }
}

#[test]
fn every_scenario_has_its_row_and_no_row_stands_twice() {
    let table = table();
    let mut wanted: BTreeSet<String> =
        GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}{n}"))).collect();
    wanted.retain(|id| !LATER.contains(&id.as_str()));
    let mut wrong = Vec::new();
    for row in rows(&table) {
        for id in row.ids() {
            if !wanted.remove(&id) {
                wrong.push(format!("{id} stands twice, or belongs to no group"));
            }
        }
    }
    wrong.extend(wanted.into_iter().map(|id| format!("{id} has no row")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_that_the_catalogue_names_is_there_and_runs() {
    let table = table();
    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows(&table) {
        if row.tests.is_empty() && !row.is_void {
            wrong.push(format!("{} names no test", row.id));
        }
        for test in row.tests {
            let Some((path, name)) = test.split_once("::") else {
                wrong.push(format!("{}: {test} is no file::test", row.id));
                continue;
            };
            let text = files.entry(path.to_owned()).or_insert_with(|| read(path));
            if !has_test(text, name) {
                wrong.push(format!("{}: {path} has no test {name} that runs", row.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A function of that name under `#[test]`, alone or inside a module or `proptest!`, and not ignored.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().filter(|(_, line)| line.starts_with(&head)).any(|(at, _)| {
        let attributes = || lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes().any(|line| *line == "#[test]") && !attributes().any(|line| line.contains("ignore"))
    })
}

fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix('|')?.trim_end().split(" | ");
        let (id, shows, tests) = (cells.next()?, cells.next()?, cells.next().unwrap_or_default());
        let is_row =
            id.starts_with(|c: char| c.is_ascii_uppercase()) && id.ends_with(|c: char| c.is_ascii_digit());
        let tests = tests.split('`').filter(|part| part.contains("::")).collect();
        is_row.then_some(Row { id, is_void: shows.starts_with("Void: "), tests })
    })
}

fn table() -> String {
    read("tests/scenarios.md")
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_default()
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
