//! The house keeps its own rules: what may import what, how long a file may be, where the exceptions are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room and the rooms it may import from. What is not listed is not allowed: no circles, no arrow back up.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("sync", &[]),
    ("metrics", &[]),
    ("ticket", &["types", "sync"]),
    ("consensus", &["types"]),
    ("wire", &["types"]),
    ("machine", &["types", "wire"]),
    ("storage", &["types", "wire", "metrics"]),
    ("net", &["types", "sync", "wire", "metrics"]),
    ("transport", &["types", "wire", "metrics", "net"]),
    ("replica", &["types", "ticket", "metrics", "consensus", "storage"]),
    ("workers", &["types", "ticket", "metrics", "consensus", "machine", "storage", "replica"]),
    (
        "runtime",
        &[
            "types",
            "sync",
            "ticket",
            "metrics",
            "consensus",
            "machine",
            "storage",
            "transport",
            "replica",
            "workers",
        ],
    ),
    ("testing", &["types", "machine", "storage", "transport"]),
    ("event_store", &["types", "ticket", "machine", "runtime"]),
    ("guide", &[]),
    (
        "fuzzing",
        &[
            "types",
            "ticket",
            "metrics",
            "consensus",
            "wire",
            "machine",
            "storage",
            "net",
            "replica",
            "workers",
            "event_store",
        ],
    ),
];

/// What every room may import beside, being a file and no room: the bugs that only the library's own tests plant.
const FOR_ALL: &str = "planted";

/// What the pure rooms must never touch.
const NEVER: &[(&str, &[&str])] = &[
    ("consensus", &["std::time", "std::thread", "std::fs", "std::net", "HashMap", "HashSet"]),
    ("replica", &["std::thread", "crossbeam_channel", "std::fs", "std::net", "Instant::now"]),
    ("workers", &["std::thread", "crossbeam_channel", "std::fs", "std::net", "Instant::now"]),
    ("storage", &["std::thread::spawn", "crossbeam_channel"]),
    ("wire", &["std::fs", "std::net", "std::thread"]),
    ("types", &["std::fs", "std::net", "std::thread", "std::time::Instant"]),
];

/// No file is longer than this without its tests.
const LINES_MAX: usize = 420;

#[test]
fn a_room_imports_only_from_the_rooms_it_may() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(room) = room_of(&file) else { continue };
        let may = allowed.get(room.as_str()).unwrap_or_else(|| panic!("room {room} is not in the plan"));
        let code = code(&file);
        for imported in imports(&code) {
            if imported != room && imported != FOR_ALL && !may.contains(&imported.as_str()) {
                wrong.push(format!("{} imports from {imported}", file.display()));
            }
        }
        if code.contains(&climb_out_of_the_room(&file)) {
            wrong.push(format!("{} climbs out of its room: say crate::", file.display()));
        }
        if code.contains("crate as ") {
            wrong.push(format!("{} gives the crate another name", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_all_import_imports_nothing() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(FOR_ALL).with_extension("rs");
    assert_eq!(imports(&code(&file)), [""; 0]);
}

#[test]
fn the_plan_has_no_circle() {
    for (at, (room, may)) in ROOMS.iter().enumerate() {
        for imported in *may {
            let below = ROOMS[..at].iter().any(|(earlier, _)| earlier == imported);
            assert!(below, "{room} may import {imported}, which is not below it");
        }
    }
}

#[test]
fn pure_rooms_stay_pure() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(room) = room_of(&file) else { continue };
        let text = code(&file);
        if text.contains("std::{") {
            wrong.push(format!("{} hides what it takes of std in braces", file.display()));
        }
        for (pure, never) in NEVER {
            for word in never.iter().filter(|word| room == *pure && text.contains(**word)) {
                wrong.push(format!("{} speaks of {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|file| (code(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn channels_are_made_in_one_file_and_unsafe_code_stands_in_one() {
    for file in sources() {
        let text = code(&file);
        let makes_channels = ["bounded(", "bounded::<", "channel(", "channel::<"];
        if makes_channels.iter().any(|maker| text.contains(maker)) {
            // A transport is given its jobs in a channel: a suite that stands in for a node makes it.
            let is_allowed = ["runtime/channels.rs", "testing/transport/node.rs"];
            let is_allowed = is_allowed.iter().any(|allowed| file.ends_with(allowed));
            assert!(is_allowed, "{} makes a channel", file.display());
        }
        if text.contains("unsafe") {
            assert!(file.ends_with("storage/disk/map.rs"), "{} is unsafe", file.display());
        }
    }
}

/// Leases, timeouts and deadlines count by a clock that only goes forward, whatever an operator does to the date. Events are
/// stamped for people, and nothing relies on it.
#[test]
fn nothing_but_what_stamps_events_asks_the_clock_on_the_wall() {
    for file in sources().into_iter().filter(|file| !file.ends_with("event_store/options.rs")) {
        let text = code(&file);
        for word in ["SystemTime", "UNIX_EPOCH", "ClockId::Realtime"] {
            assert!(!text.contains(word), "{} speaks of {word}", file.display());
        }
    }
}

#[test]
fn every_file_opens_with_its_story() {
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(text.starts_with("//!"), "{} does not say what it is for", file.display());
    }
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 50, "the sources are not where they were");
    files
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The room a file stands in; `None` for the crate's front door, and for what is open to all.
fn room_of(file: &Path) -> Option<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inside = file.strip_prefix(src).expect("a file under src");
    let room = inside.components().next()?.as_os_str().to_str()?;
    let is_room = room != "lib.rs" && room.strip_suffix(".rs") != Some(FOR_ALL);
    is_room.then(|| room.to_owned())
}

/// A file without its comments and its test modules; test files count as no code.
fn code(file: &Path) -> String {
    let is_test = file.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs")
    });
    let text = if is_test { String::new() } else { fs::read_to_string(file).expect("a source file") };
    without_tests(&text)
}

/// A test module is one line that names it, or ends at the first brace in the first column.
fn without_tests(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            code.push(line);
            continue;
        }
        let item = lines.by_ref().find(|line| !line.starts_with("#["));
        if item.is_some_and(|item| item.ends_with('{')) {
            lines.by_ref().find(|line| *line == "}");
        }
    }
    code.join("\n")
}

/// What a path begins with that leaves the room without naming the crate.
fn climb_out_of_the_room(file: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inside = file.strip_prefix(src).expect("a file under src").components().count();
    let depth = if file.ends_with("mod.rs") { inside - 1 } else { inside };
    "super::".repeat(depth)
}

/// The rooms named after `crate::`, also inside braces; and what is fetched from the front door, which is no room.
fn imports(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let inside = &group[..group.find("};").unwrap_or(group.len())];
            rooms.extend(at_the_top(inside).map(word));
        } else {
            rooms.push(word(rest));
        }
    }
    rooms
}

/// The parts of a group between its own commas, not those of groups inside it.
fn at_the_top(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let parts = group.split(move |c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[test]
fn the_rules_see_every_way_to_import() {
    assert_eq!(imports("use crate::storage::disk;"), ["storage"]);
    assert_eq!(imports("use crate::{net, wire::{frame, Reader}, Node};"), ["net", "wire", "Node"]);
    assert_eq!(imports("let x = crate::runtime::start();"), ["runtime"]);
    let climb = climb_out_of_the_room(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/types/id.rs"));
    assert!("use super::super::net;".contains(&climb));
    assert!(!"use super::Term;".contains(&climb));
    let text = "a\n// b\n#[cfg(test)]\nmod tests;\nc\n#[cfg(test)]\nmod more {\n    d\n}\ne";
    assert_eq!(without_tests(text), "a\nc\ne");
}
