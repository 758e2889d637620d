//! A run as a picture that a person can look at: one HTML file without anything outside it. Time runs downwards. From left
//! to right: the clock, what was wrong with the network, a line for each node in the colours of its roles with an arrow for
//! each message, what operators did, and a line for each caller with what it waited for. The law that was broken closes it.
//!
//! Its chapters: `time` (which moment stands where), `marks` (lines, boxes and texts of the picture), `lives` (what each node
//! was, and when), `calls` (what callers waited for).

use std::collections::BTreeMap;
use std::fmt::Write;

use super::law::Broken;
use super::plan::{Act, Fault, Plan, SECOND};
use super::run::Ran;
use super::trace::{Kind, Line, What};
use crate::types::NodeId;
use marks::{Marks, escaped};
use time::Time;

mod calls;
mod lives;
mod marks;
mod time;

/// The clock's column.
const CLOCK: f64 = 96.0;
/// A lane for each way in which the network is at fault in this run.
const LANE: f64 = 42.0;
const BAND: f64 = 16.0;
const LANES: [Fault; 6] =
    [Fault::Loss, Fault::Doubles, Fault::Disorder, Fault::Delay, Fault::Cut, Fault::Slow];
/// How broad the line of a node is.
const LIFE: f64 = 12.0;
/// What operators do is told in words.
const OPERATORS: f64 = 170.0;
const CALLER: f64 = 64.0;
/// Texts of one column keep this distance.
const TEXT_HEIGHT: f64 = 12.0;

/// The page: `ran` is the run of `plan`, with its lines; of its end so many nanoseconds are drawn.
pub(super) fn draw(plan: &Plan, ran: &Ran, drawn: u64) -> String {
    let end = ran.trace.end();
    let picture = Picture {
        plan,
        lines: &ran.trace.lines,
        columns: Columns::of(plan),
        time: Time::of(&ran.trace.lines, end.saturating_sub(drawn), end),
    };
    let law = ran.broken.as_ref().map_or("no law is broken".to_owned(), Broken::name);
    let facts = ran.broken.as_ref().map_or(String::new(), ToString::to_string);
    let seconds = |nanos: u64| format!("{:.3}", nanos as f64 / SECOND as f64);
    let (width, height) = (picture.columns.width, picture.time.height());
    let fields = [
        ("{{style}}", include_str!("diagram/page.css").to_owned()),
        ("{{script}}", include_str!("diagram/page.js").to_owned()),
        ("{{seed}}", plan.seed.to_string()),
        ("{{verdict}}", if ran.broken.is_some() { "broken" } else { "kept" }.to_owned()),
        ("{{law}}", law),
        ("{{from}}", seconds(picture.time.start)),
        ("{{to}}", seconds(end)),
        ("{{width}}", format!("{width:.0}")),
        ("{{height}}", format!("{height:.0}")),
        ("{{heads}}", picture.heads()),
        ("{{marks}}", picture.marks()),
        ("{{facts}}", escaped(&facts)),
        ("{{plan}}", escaped(&plan.to_text())),
    ];
    filled(include_str!("diagram/page.html"), &fields)
}

/// `page` with each field's text in its place. What stands in a field is not looked at again.
fn filled(page: &str, fields: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = page;
    while let Some(begin) = rest.find("{{") {
        let end = begin + rest[begin..].find("}}").expect("a field is closed") + 2;
        let (_, text) = fields.iter().find(|(name, _)| *name == &rest[begin..end]).expect("a field is known");
        filled.push_str(&rest[..begin]);
        filled.push_str(text);
        rest = &rest[end..];
    }
    filled + rest
}

/// What stands where from left to right.
struct Columns {
    lanes: Vec<Fault>,
    nodes: BTreeMap<NodeId, f64>,
    operators: f64,
    callers: Vec<f64>,
    width: f64,
}

impl Columns {
    fn of(plan: &Plan) -> Self {
        let is_planned = |fault: &Fault| plan.acts.iter().any(|act| act.fault == *fault);
        let lanes: Vec<Fault> = LANES.into_iter().filter(is_planned).collect();
        let count = plan.nodes + plan.spare_nodes;
        let between = (760.0 / count as f64).clamp(125.0, 210.0);
        let lanes_end = CLOCK + LANE * lanes.len() as f64;
        let node_at = |place: u64| lanes_end + between * (place as f64 + 0.5);
        let id = |number| NodeId::new(number).expect("not zero");
        let operators = node_at(count) - between / 2.0 + 20.0;
        let callers = operators + OPERATORS;
        Self {
            nodes: (0..count).map(|place| (id(place + 1), node_at(place))).collect(),
            operators,
            callers: (0..plan.callers).map(|place| callers + CALLER * (place as f64 + 0.5)).collect(),
            width: callers + CALLER * plan.callers as f64 + 20.0,
            lanes,
        }
    }

    /// Where an arrow begins and ends: at the sides of the two lives that face each other.
    fn between(&self, from: NodeId, to: NodeId) -> (f64, f64) {
        let (from, to) = (self.nodes[&from], self.nodes[&to]);
        let side = LIFE / 2.0 * (to - from).signum();
        (from + side, to - side)
    }
}

struct Picture<'a> {
    plan: &'a Plan,
    lines: &'a [Line],
    columns: Columns,
    time: Time,
}

impl Picture<'_> {
    /// The names of the columns.
    fn heads(&self) -> String {
        let mut heads = Marks::default();
        let Columns { lanes, nodes, operators, callers, .. } = &self.columns;
        heads.text("head", CLOCK - 12.0, 14.0, "time", "seconds; not to scale");
        for (place, fault) in lanes.iter().enumerate() {
            heads.text("lane", lane(place) + LANE / 2.0, 14.0, &format!("{fault:?}").to_lowercase(), "");
        }
        for (node, x) in nodes {
            let spare = if node.get() > self.plan.nodes { ", spare" } else { "" };
            heads.text("node", *x, 14.0, &format!("node {node}{spare}"), "");
        }
        heads.text("words", *operators, 14.0, "operators", "");
        for (place, x) in callers.iter().enumerate() {
            heads.text("node", *x, 14.0, &format!("caller {place}"), "");
        }
        heads.into_text()
    }

    fn marks(&self) -> String {
        let mut marks = Marks::default();
        self.clock(&mut marks);
        self.network(&mut marks);
        self.calls(&mut marks);
        self.lives(&mut marks);
        self.messages(&mut marks);
        self.events(&mut marks);
        self.words(&mut marks);
        let (end, width) = (self.time.y(self.time.end), self.columns.width);
        marks.line("end", (0.0, end), (width, end), "the end");
        marks.into_text()
    }

    /// The lines that are drawn.
    fn drawn(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.at >= self.time.start)
    }

    fn clock(&self, marks: &mut Marks) {
        for (at, y) in self.time.labels() {
            marks.line("grid", (CLOCK - 8.0, y), (self.columns.width, y), "");
            marks.text("clock", CLOCK - 12.0, y, &format!("{:.4}", at as f64 / SECOND as f64), "");
        }
    }

    /// Bands while messages are lost, come twice, overtake each other or are late, and while links are cut.
    fn network(&self, marks: &mut Marks) {
        for line in self.lines {
            let What::Fault { act, .. } = &line.what else { continue };
            let Some(place) = self.columns.lanes.iter().position(|fault| *fault == act.fault) else {
                continue;
            };
            let (from, to) = (line.at, self.ends(*act));
            if to >= self.time.start {
                let (top, bottom) = (self.time.y(from), self.time.y(to));
                let class = format!("band {}", format!("{:?}", act.fault).to_lowercase());
                marks.block(
                    &class,
                    (lane(place) + (LANE - BAND) / 2.0, top),
                    (BAND, bottom - top),
                    &line.to_string(),
                );
            }
        }
    }

    /// When a fault is over.
    fn ends(&self, act: Act) -> u64 {
        (act.at + act.lasts).min(self.plan.ends).min(self.time.end)
    }

    fn messages(&self, marks: &mut Marks) {
        for line in self.drawn() {
            match &line.what {
                What::Message { from, to, sent_at, said } => {
                    let class = format!("message {}", class(said.kind));
                    let (sent, arrived) = (self.time.y(*sent_at), self.time.y(line.at));
                    let took = (line.at - sent_at) as f64 / 1e6;
                    let tip = format!("{line}, after {took:.3} ms");
                    let (from, to) = self.columns.between(*from, *to);
                    marks.line(&class, (from, sent), (to, arrived), &tip);
                }
                What::Lost { from, to, sent_at, said } => {
                    let class = format!("lost {}", class(said.kind));
                    let (sent, lost) = (self.time.y(*sent_at), self.time.y(line.at));
                    // Lost at once, or on the way.
                    let way = if line.at == *sent_at { 0.3 } else { 0.8 };
                    let (from, to) = self.columns.between(*from, *to);
                    let end = (from + (to - from) * way, lost);
                    marks.line(&class, (from, sent), end, &line.to_string());
                    marks.text(&format!("cross {class}"), end.0, end.1, "×", &line.to_string());
                }
                _ => {}
            }
        }
    }

    /// What operators asked for and were told, and what else happened nowhere in particular.
    fn words(&self, marks: &mut Marks) {
        let x = self.columns.operators;
        let mut free = f64::MIN;
        for line in self.drawn() {
            let What::World(text) = &line.what else { continue };
            let y = self.time.y(line.at);
            marks.dot("word", x - 8.0, y, &line.to_string());
            if y >= free {
                marks.text("words", x, y, &shortened(text, 30), &line.to_string());
                free = y + TEXT_HEIGHT;
            }
        }
    }
}

fn lane(place: usize) -> f64 {
    CLOCK + LANE * place as f64
}

fn class(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    write!(short, "…").expect("text has room");
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::run::run;

    fn scene() -> (Plan, Ran) {
        let plan = Plan { nodes: 3, spare_nodes: 1, callers: 2, ends: 4 * SECOND, ..Plan::of(5) };
        let mut ran = run(&plan, true);
        ran.broken = Some(Broken::NotLive { what: "<nobody> & \"nothing\"".to_owned() });
        (plan, ran)
    }

    /// Every element is closed in the order in which it was opened, and nothing else looks like one.
    fn assert_well_formed(page: &str) {
        let mut open = Vec::new();
        for part in page.split('<').skip(1) {
            let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("<{part} is not closed"));
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes are paired in <{tag}>");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}> closes what was opened last");
            } else if !tag.starts_with('!') && !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new(), "all is closed");
    }

    #[test]
    fn a_diagram_is_well_formed_and_holds_every_node_every_caller_and_the_law_that_was_broken() {
        let (plan, ran) = scene();

        let page = draw(&plan, &ran, u64::MAX);

        assert_well_formed(&page);
        for text in ["node 1", "node 2", "node 3", "node 4, spare", "caller 0", "caller 1"] {
            assert!(page.contains(&format!(">{text}<")), "{text} is there");
        }
        for text in [
            "NotLive",
            "&lt;nobody&gt; &amp;",
            "role leader",
            "message append",
            "message heartbeat",
            "call well",
        ] {
            assert!(page.contains(text), "{text} is there");
        }
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing outside is asked for");
    }

    #[test]
    fn only_the_end_is_drawn_if_only_the_end_was_asked_for() {
        let (plan, ran) = scene();
        let end = ran.trace.end();
        let arrows = |page: &str| page.matches("\"message ").count();

        let (all, last) = (draw(&plan, &ran, u64::MAX), draw(&plan, &ran, SECOND));

        let late = |line: &&Line| line.at >= end - SECOND && matches!(line.what, What::Message { .. });
        assert_eq!(arrows(&last), ran.trace.lines.iter().filter(late).count());
        assert!(arrows(&last) < arrows(&all));
        assert_well_formed(&last);
    }
}
