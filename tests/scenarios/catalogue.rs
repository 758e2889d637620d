//! A table of what must hold, and of the test that shows each of it: what is in it, and what must not be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file with such tables.
pub(crate) struct Catalogue {
    /// Where it is, from the root of the crate.
    pub(crate) path: &'static str,
    /// Its groups, and how many rows each has.
    pub(crate) groups: &'static [(&'static str, usize)],
    /// Rows that are not there yet.
    pub(crate) later: &'static [&'static str],
}

impl Catalogue {
    /// Every id has its row, and none has two.
    pub(crate) fn assert_complete(&self) {
        let table = read(self.path);
        let ids =
            |(group, count): &(&str, usize)| (1..=*count).map(|n| format!("{group}{n}")).collect::<Vec<_>>();
        let mut wanted: BTreeSet<String> = self.groups.iter().flat_map(ids).collect();
        wanted.retain(|id| !self.later.contains(&id.as_str()));
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

    /// Every row names tests, and each of them is there and runs.
    pub(crate) fn assert_tests_run(&self) {
        let table = read(self.path);
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
}

/// One row: its id, or several as `D1-D8`; what it shows, and where. A void one shows nothing, and says why.
pub(crate) struct Row<'a> {
    id: &'a str,
    pub(crate) is_void: bool,
    tests: Vec<&'a str>,
}

impl Row<'_> {
    /// Each id that the row stands for.
    pub(crate) fn ids(&self) -> Vec<String> {
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

/// A function of that name under `#[test]`, alone or inside a module or `proptest!`, and not ignored.
pub(crate) fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().filter(|(_, line)| line.starts_with(&head)).any(|(at, _)| {
        let attributes = || lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes().any(|line| *line == "#[test]") && !attributes().any(|line| line.contains("ignore"))
    })
}

pub(crate) fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix('|')?.trim_end().split(" | ");
        let (id, shows, tests) = (cells.next()?, cells.next()?, cells.next().unwrap_or_default());
        let is_row =
            id.starts_with(|c: char| c.is_ascii_uppercase()) && id.ends_with(|c: char| c.is_ascii_digit());
        let tests = tests.split('`').filter(|part| part.contains("::")).collect();
        is_row.then_some(Row { id, is_void: shows.starts_with("Void: "), tests })
    })
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_default()
}
