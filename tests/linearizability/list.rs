//! A list to which one appends.
//!
//! Lists only grow, so that each is the beginning of the longest that anybody read. The state says how much of it is there;
//! what was appended behind it nobody can tell. That makes a search short that would try all orders of what is appended at
//! the same time.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Spec;

pub(crate) type Item = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Append(Item),
    Read,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To [`Input::Append`].
    Done,
    /// To [`Input::Read`].
    Items(Vec<Item>),
}

/// A beginning of the longest list that was read, or something longer.
#[derive(Clone, Debug)]
pub(crate) struct State {
    longest: Arc<[Item]>,
    length: usize,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.length.hash(hasher);
    }
}

pub(crate) struct AppendList;

impl Spec for AppendList {
    type State = State;
    type Input = Input;
    type Output = Output;

    fn start<'a>(seen: impl Iterator<Item = &'a Output>) -> State {
        let lists = seen.filter_map(|output| match output {
            Output::Items(items) => Some(items),
            Output::Done => None,
        });
        let longest = lists.max_by_key(|items| items.len()).cloned().unwrap_or_default();
        State { longest: longest.into(), length: 0 }
    }

    fn step(state: &State, input: &Input, output: Option<&Output>) -> Option<State> {
        let State { longest, length } = state;
        match (input, output) {
            (Input::Append(item), None | Some(Output::Done)) => {
                let fits = longest.get(*length).is_none_or(|expected| expected == item);
                let length = (length + 1).min(longest.len() + 1);
                fits.then(|| State { longest: Arc::clone(longest), length })
            }
            (Input::Read, None) => Some(state.clone()),
            (Input::Read, Some(Output::Items(items))) => {
                (longest.get(..*length) == Some(items)).then(|| state.clone())
            }
            _ => None,
        }
    }

    fn only_reads(input: &Input, _output: Option<&Output>) -> bool {
        matches!(input, Input::Read)
    }

    fn explains(cause: &Input, _input: &Input, output: &Output) -> bool {
        matches!((cause, output), (Input::Append(item), Output::Items(items)) if items.contains(item))
    }
}
