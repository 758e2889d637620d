//! The numbers of a session's commands: which is the next, and below which all are answered or given up.

use std::collections::VecDeque;

use crate::machine::SessionBounds;

/// How far the newest number may be ahead of the oldest that is unanswered. A session keeps the answers to as many commands
/// as that, answered ones behind an unanswered one included; a command beyond them would be refused.
pub(super) const SPAN_MAX: u64 = SessionBounds::of(1).unanswered_max as u64;

/// The numbers that were given out.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Below this all are finished. The first of `finished` is this one.
    answered_below: u64,
    /// Of each number from there on, whether its command is answered or given up.
    finished: VecDeque<bool>,
}

impl Window {
    /// Whether one more command may be under way.
    pub(super) fn has_room(&self) -> bool {
        (self.finished.len() as u64) < SPAN_MAX
    }

    /// A number for one more command.
    pub(super) fn begin(&mut self) -> u64 {
        assert!(self.has_room(), "a number beyond what the session may have unanswered");
        self.finished.push_back(false);
        self.answered_below + self.finished.len() as u64 - 1
    }

    /// Its command is answered, or given up: it is never sent again.
    pub(super) fn finish(&mut self, number: u64) {
        let at = number.checked_sub(self.answered_below).expect("a command is finished once");
        let was_finished = std::mem::replace(&mut self.finished[at as usize], true);
        assert!(!was_finished, "a command is finished once");
        while self.finished.front() == Some(&true) {
            self.finished.pop_front();
            self.answered_below += 1;
        }
    }

    /// Below this all commands are answered or given up.
    pub(super) fn answered_below(&self) -> u64 {
        self.answered_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_answered_below_the_lowest_number_still_under_way() {
        let mut window = Window::default();
        let numbers: Vec<_> = (0..4).map(|_| window.begin()).collect();
        assert_eq!((numbers, window.answered_below()), (vec![0, 1, 2, 3], 0));

        let below = [1, 2, 0, 3].map(|number| {
            window.finish(number);
            window.answered_below()
        });

        assert_eq!(below, [0, 0, 3, 4]);
        assert_eq!(window.begin(), 4);
    }

    #[test]
    fn one_unanswered_command_holds_up_those_a_whole_span_ahead_of_it() {
        let mut window = Window::default();
        let oldest = window.begin();
        for _ in 1..SPAN_MAX {
            let number = window.begin();
            window.finish(number);
        }
        assert!(!window.has_room());

        window.finish(oldest);

        assert!(window.has_room());
        assert_eq!(window.answered_below(), SPAN_MAX);
    }

    #[test]
    #[should_panic(expected = "finished once")]
    fn nothing_is_finished_twice() {
        let mut window = Window::default();
        let (first, second) = (window.begin(), window.begin());
        window.finish(second);
        window.finish(first);

        window.finish(first);
    }
}
