//! Which moment stands where. Most of the time nothing happens, and then much at once: true to scale, either would be lost.
//! So the distance between two moments at which something happens grows with the logarithm of the time between them.

use crate::sim::plan::MILLISECOND;
use crate::sim::trace::{Kind, Line, What};

/// Two moments that hardly differ stand so far apart, at least.
const APART: f64 = 1.5;
/// Each doubling of the time between them adds so much.
const DOUBLING: f64 = 5.0;
const LABELS_APART: f64 = 28.0;
/// Above the first and below the last moment.
const MARGIN: f64 = 16.0;

pub(super) struct Time {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Moments at which something happens, and where they stand; rising, from `start` to `end`.
    knots: Vec<(u64, f64)>,
}

impl Time {
    pub(super) fn of(lines: &[Line], start: u64, end: u64) -> Self {
        let mut moments: Vec<u64> =
            lines.iter().flat_map(moments).filter(|at| (start..=end).contains(at)).collect();
        moments.extend([start, end]);
        moments.sort_unstable();
        moments.dedup();
        let mut knots = Vec::with_capacity(moments.len());
        let mut y = MARGIN;
        let mut before = start;
        for at in moments {
            if at > before {
                y += APART + DOUBLING * (1.0 + (at - before) as f64 / MILLISECOND as f64).log2();
            }
            knots.push((at, y));
            before = at;
        }
        Self { start, end, knots }
    }

    pub(super) fn height(&self) -> f64 {
        self.y(self.end) + MARGIN
    }

    /// Where a moment stands; what was before the start stands there.
    pub(super) fn y(&self, at: u64) -> f64 {
        let next = self.knots.partition_point(|(knot, _)| *knot < at);
        let (Some(&(after, below)), Some(&(before, above))) =
            (self.knots.get(next), next.checked_sub(1).and_then(|last| self.knots.get(last)))
        else {
            let nearest = if next == 0 { self.knots.first() } else { self.knots.last() };
            return nearest.map_or(MARGIN, |(_, y)| *y);
        };
        above + (below - above) * (at - before) as f64 / (after - before) as f64
    }

    /// Moments to be named at the side, not too near each other.
    pub(super) fn labels(&self) -> Vec<(u64, f64)> {
        let mut labels: Vec<(u64, f64)> = Vec::new();
        for &(at, y) in &self.knots {
            if labels.last().is_none_or(|(_, above)| y - above >= LABELS_APART) {
                labels.push((at, y));
            }
        }
        labels
    }
}

/// When something happens that wants room. Heartbeats are too many, and seldom the point.
fn moments(line: &Line) -> Vec<u64> {
    match &line.what {
        What::Message { said, .. } | What::Lost { said, .. } if said.kind == Kind::Heartbeat => Vec::new(),
        What::Message { sent_at, .. } | What::Lost { sent_at, .. } => vec![*sent_at, line.at],
        _ => vec![line.at],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_moments_stand_lower_and_a_long_pause_takes_little_room() {
        let line = |at| Line { at: at * MILLISECOND, what: What::World(String::new()) };
        let lines: Vec<Line> = [1, 2, 3, 5_000, 5_001].map(line).into();

        let time = Time::of(&lines, 0, 5_001 * MILLISECOND);

        let heights: Vec<f64> = lines.iter().map(|line| time.y(line.at)).collect();
        assert!(heights.is_sorted_by(|above, below| above < below), "{heights:?}");
        assert!(heights[3] - heights[2] < 15.0 * (heights[1] - heights[0]), "{heights:?}");
        let between = time.y(2_500 * MILLISECOND);
        assert!(
            heights[2] < between && between < heights[3],
            "what has no knot stands between those that do"
        );
    }
}
