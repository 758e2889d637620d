//! State machines in memory that are wrong on purpose, each in one way: accounts, and how many commands changed them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use quorate::testing::Broken;
use quorate::testing::machine::Suite;
use quorate::types::LogPosition;
use quorate::{Codec, DecodeError, MachineError, SnapshotError, SnapshotWriter, StateMachine};

use crate::require_caught;

const NOTHING: u8 = 0;
const ASKS_CHANCE: u8 = 1;
const FORGETS_THE_COUNT: u8 = 2;
const MERGES: u8 = 3;
const WRITES_WHAT_IS_THEN: u8 = 4;
const COUNTS_QUERIES: u8 = 5;
const SWALLOWS_READ_ERRORS: u8 = 6;
const SWALLOWS_WRITE_ERRORS: u8 = 7;
const MINDS_BATCHES: u8 = 8;
const TAKES_GARBAGE: u8 = 9;
const PANICS_ON_GARBAGE: u8 = 10;
const FORGETS_A_SIGN: u8 = 11;
const OVERWRITES_THE_BUFFER: u8 = 12;
const RELIES_ON_WHOLE_READS: u8 = 13;
const LOSES_THE_AMOUNT: u8 = 14;

#[test]
fn a_machine_that_is_right_passes() {
    suite::<NOTHING>().check();
}

#[test]
fn each_wrong_machine_is_caught_by_the_clause_it_breaks() {
    let verdicts: [(Result<(), Broken>, &str); 14] = [
        (suite::<LOSES_THE_AMOUNT>().verify(), "What is encoded decodes to itself"),
        (suite::<ASKS_CHANCE>().verify(), "The same commands in the same order"),
        (suite::<FORGETS_THE_COUNT>().verify(), "A snapshot of any moment restores"),
        (suite::<MERGES>().verify(), "Restoring replaces the whole state"),
        (suite::<WRITES_WHAT_IS_THEN>().verify(), "A snapshot is a picture of the state"),
        (suite::<COUNTS_QUERIES>().verify(), "A query changes nothing"),
        (suite::<SWALLOWS_READ_ERRORS>().verify(), "An error in the middle of a snapshot that is read"),
        (suite::<SWALLOWS_WRITE_ERRORS>().verify(), "An error in the middle of a snapshot that is written"),
        (suite::<MINDS_BATCHES>().verify(), "Where a batch of commands ends"),
        (suite::<TAKES_GARBAGE>().verify(), "A byte form takes up all of the bytes"),
        (suite::<PANICS_ON_GARBAGE>().verify(), "Bytes that are no byte form are refused"),
        (suite::<FORGETS_A_SIGN>().verify(), "A command does after its byte form"),
        (suite::<OVERWRITES_THE_BUFFER>().verify(), "Encoding appends"),
        (suite::<RELIES_ON_WHOLE_READS>().verify(), "A snapshot of any moment restores"),
    ];
    for (verdict, clause) in verdicts {
        require_caught(verdict, clause);
    }
}

#[test]
fn a_verdict_names_the_clause_and_what_was_seen() {
    let broken = suite::<MERGES>().verify().unwrap_err();

    let text = broken.to_string();
    assert!(
        text.starts_with("this state machine breaks its contract\n- Restoring replaces the whole state."),
        "{text}"
    );
    assert!(text.contains("But: "), "{text}");
}

#[test]
#[should_panic(expected = "a suite without commands shows nothing")]
fn a_suite_without_commands_passes_nobody() {
    Suite::new(Accounts::<NOTHING>::default).check();
}

fn suite<const WRONG: u8>() -> Suite<Accounts<WRONG>> {
    let commands =
        (0..40).map(|n: u8| Deposit::<WRONG> { account: n % 7 * n % 5, amount: i64::from(n) * 3 - 50 });
    Suite::new(Accounts::<WRONG>::default).commands(commands).queries([0, 1, 4, 200])
}

struct Deposit<const WRONG: u8> {
    account: u8,
    amount: i64,
}

impl<const WRONG: u8> Codec for Deposit<WRONG> {
    fn encode(&self, out: &mut Vec<u8>) {
        if WRONG == OVERWRITES_THE_BUFFER {
            out.clear();
        }
        out.push(self.account);
        let amount = if WRONG == FORGETS_A_SIGN { self.amount.abs() } else { self.amount };
        out.extend_from_slice(&amount.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match WRONG {
            TAKES_GARBAGE if bytes.len() > 9 => return Self::decode(&bytes[..9]),
            PANICS_ON_GARBAGE => assert_eq!(bytes.len(), 9),
            _ => {}
        }
        let [account, amount @ ..] = bytes else { return Err(DecodeError::new("no account")) };
        let amount = i64::decode(amount)?;
        Ok(Self { account: *account, amount: if WRONG == LOSES_THE_AMOUNT { 0 } else { amount } })
    }
}

#[derive(Default)]
struct Accounts<const WRONG: u8> {
    state: Arc<Mutex<State>>,
    asked: Cell<i64>,
    in_batch: i64,
}

#[derive(Clone, Default)]
struct State {
    accounts: BTreeMap<u8, i64>,
    changes: i64,
}

/// Changes whenever anybody looks.
static CHANCE: AtomicI64 = AtomicI64::new(0);

impl<const WRONG: u8> StateMachine for Accounts<WRONG> {
    type Command = Deposit<WRONG>;
    type Query = u8;
    type Response = i64;

    fn apply(&mut self, _: LogPosition, deposit: Deposit<WRONG>) -> i64 {
        let mut state = self.state.lock();
        state.changes += 1;
        self.in_batch += 1;
        let balance = state.accounts.entry(deposit.account).or_default();
        *balance += deposit.amount;
        match WRONG {
            ASKS_CHANCE => *balance += CHANCE.fetch_add(1, Ordering::Relaxed),
            COUNTS_QUERIES => *balance += self.asked.get(),
            MINDS_BATCHES => *balance += self.in_batch,
            _ => {}
        }
        *balance
    }

    fn query(&self, account: u8) -> i64 {
        self.asked.set(self.asked.get() + 1);
        let state = self.state.lock();
        if account == 200 { state.changes } else { state.accounts.get(&account).copied().unwrap_or(-1) }
    }

    fn end_batch(&mut self, _: LogPosition, _: &[u8]) -> Result<(), MachineError> {
        self.in_batch = 0;
        Ok(())
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let picture = match WRONG {
            WRITES_WHAT_IS_THEN => Arc::clone(&self.state),
            _ => Arc::new(Mutex::new(self.state.lock().clone())),
        };
        Ok(Box::new(move |out| {
            let state = picture.lock();
            let changes = if WRONG == FORGETS_THE_COUNT { 0 } else { state.changes };
            let accounts = state.accounts.iter().flat_map(|(account, balance)| {
                let balance = balance.to_le_bytes();
                [*account].into_iter().chain(balance)
            });
            let bytes: Vec<u8> = changes.to_le_bytes().into_iter().chain(accounts).collect();
            let written = out.write_all(&bytes);
            if WRONG == SWALLOWS_WRITE_ERRORS { Ok(()) } else { written }
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        let read = match WRONG {
            RELIES_ON_WHOLE_READS => {
                bytes.resize(8 + 7 * 9, 0);
                snapshot.read(&mut bytes).map(|count| bytes.truncate(count))
            }
            _ => snapshot.read_to_end(&mut bytes).map(|_| ()),
        };
        if WRONG != SWALLOWS_READ_ERRORS {
            read?;
        }
        let torn = || io::Error::from(io::ErrorKind::UnexpectedEof);
        bytes.resize(bytes.len().max(8), 0);
        let (changes, accounts) = bytes.split_first_chunk().ok_or_else(torn)?;
        let mut state = self.state.lock();
        if WRONG != MERGES {
            state.accounts.clear();
        }
        state.changes = i64::from_le_bytes(*changes);
        for account in accounts.chunks_exact(9) {
            let balance = account[1..].try_into().map_err(|_| torn())?;
            state.accounts.insert(account[0], i64::from_le_bytes(balance));
        }
        Ok(())
    }
}
