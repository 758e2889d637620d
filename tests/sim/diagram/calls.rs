//! What callers waited for: a box from the request to the answer, and thin lines to the node that was asked.

use std::collections::BTreeMap;

use super::Picture;
use super::marks::Marks;
use crate::sim::trace::{Line, What};
use crate::types::NodeId;

const WIDTH: f64 = 22.0;

/// A request that is not answered yet.
struct Waiting<'a> {
    asked: &'a Line,
    node: NodeId,
    text: &'a str,
}

impl Picture<'_> {
    pub(super) fn calls(&self, marks: &mut Marks) {
        for x in &self.columns.callers {
            marks.line("life", (*x, 0.0), (*x, self.time.y(self.time.end)), "");
        }
        let mut waiting: BTreeMap<usize, Waiting<'_>> = BTreeMap::new();
        for line in self.lines {
            match &line.what {
                What::Asks { caller, node, text } => {
                    // Whoever asks again without an answer had lost its node.
                    let before = waiting.insert(*caller, Waiting { asked: line, node: *node, text });
                    if let Some(before) = before {
                        self.call(marks, *caller, &before, line.at, ("unknown", "its node is gone"));
                    }
                }
                What::Told { caller, well, text } => {
                    let Some(request) = waiting.remove(caller) else { continue };
                    let class = if *well { "well" } else { "refused" };
                    self.call(marks, *caller, &request, line.at, (class, text));
                }
                _ => {}
            }
        }
        for (caller, request) in waiting {
            self.call(marks, caller, &request, self.time.end, ("unknown", "no answer yet"));
        }
    }

    fn call(
        &self,
        marks: &mut Marks,
        caller: usize,
        request: &Waiting<'_>,
        until: u64,
        (class, answer): (&str, &str),
    ) {
        if until < self.time.start {
            return;
        }
        let Waiting { asked, node, text } = request;
        let (top, bottom) = (self.time.y(asked.at), self.time.y(until));
        let (x, there) = (self.columns.callers[caller], self.columns.nodes[node]);
        let took = (until - asked.at) as f64 / 1e6;
        let told = format!("{asked}\n{answer}, after {took:.3} ms");
        if asked.at >= self.time.start {
            marks.line("asks", (x, top), (there, top), "");
        }
        if class != "unknown" {
            marks.line("asks", (there, bottom), (x, bottom), "");
        }
        marks.block(&format!("call {class}"), (x - WIDTH / 2.0, top), (WIDTH, bottom - top), &told);
        let short = if text.starts_with("Look") { "read" } else { "write" };
        if bottom - top > 14.0 {
            marks.text("asked", x, top + 8.0, short, &told);
        }
    }
}
