//! How a suite runs: clause by clause, and all of them, so that one report names everything that is wrong.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an implementation does not keep of its contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    subject: &'static str,
    clauses: Vec<(&'static str, String)>,
}

impl Broken {
    /// The clauses that are broken, each with what was seen instead.
    pub fn clauses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.clauses.iter().map(|(clause, seen)| (*clause, seen.as_str()))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this {} breaks its contract", self.subject)?;
        for (clause, seen) in self.clauses() {
            write!(f, "\n- {clause}\n  But: {}", seen.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Broken {}

/// Plays the scene of every clause. A panic, be it the scene's or the implementation's own, breaks its clause.
pub(super) fn verify<P: FnOnce()>(
    subject: &'static str,
    clauses: impl IntoIterator<Item = (&'static str, P)>,
) -> Result<(), Broken> {
    let broken: Vec<_> = clauses
        .into_iter()
        .filter_map(|(says, play)| Some((says, words(&*catch_unwind(AssertUnwindSafe(play)).err()?))))
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(Broken { subject, clauses: broken }) }
}

/// For `check`: the verdict as a panic that a test fails with.
pub(super) fn insist(verdict: Result<(), Broken>) {
    if let Err(broken) = verdict {
        panic!("{broken}");
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_broken_clauses_are_named_with_what_was_seen() {
        let judge = |number: u64| {
            let clauses: [(_, &dyn Fn()); 3] = [
                ("It is odd.", &|| assert!(number % 2 == 1, "it is {number}")),
                ("It is small.", &|| assert!(number < 10, "it is too large")),
                ("It is not seven.", &|| assert_ne!(number, 7)),
            ];
            verify("number", clauses)
        };

        assert_eq!(judge(9), Ok(()));
        let broken = judge(12).unwrap_err();
        assert_eq!(
            broken.to_string(),
            "this number breaks its contract\n- It is odd.\n  But: it is 12\n- It is small.\n  But: it is too large"
        );
        let broken = judge(7).unwrap_err();
        assert_eq!(broken.clauses().map(|(clause, _)| clause).collect::<Vec<_>>(), ["It is not seven."]);
    }
}
