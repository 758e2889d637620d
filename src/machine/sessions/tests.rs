//! The table against its model, what it keeps and forgets, and its bytes.

use std::io::Read;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::model::ModelMachine;
use super::*;
use crate::machine::{SessionBounds, seal_close, seal_in_session, seal_open, seal_plain};
use crate::types::{LogIndex, SessionId, Term};

/// Keeps every command it executed; answers with the command and how many there were. What it stores, if anything, outlives
/// it.
struct Journal {
    executed: Vec<Vec<u8>>,
    store: Option<Store>,
    /// How much longer its answers are than they need be.
    padding: usize,
}

/// The state, and what `end_batch` was given with it.
type Store = Arc<Mutex<(Vec<Vec<u8>>, Held)>>;

impl Journal {
    fn in_memory() -> Self {
        Self { executed: Vec::new(), store: None, padding: 0 }
    }

    fn on(store: &Store) -> Self {
        Self { executed: store.lock().0.clone(), store: Some(Arc::clone(store)), padding: 0 }
    }
}

fn blank_store() -> Store {
    Arc::new(Mutex::new((Vec::new(), Held { position: LogPosition::ZERO, sidecar: Vec::new() })))
}

impl StateMachine for Journal {
    type Command = Vec<u8>;
    type Query = ();
    type Response = Vec<u8>;

    fn apply(&mut self, _at: LogPosition, command: Vec<u8>) -> Vec<u8> {
        self.executed.push(command.clone());
        let mut answer = answer(&command, self.executed.len());
        answer.resize(answer.len() + self.padding, 0);
        answer
    }

    fn query(&self, (): ()) -> Vec<u8> {
        Vec::new()
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let executed = self.executed.clone();
        Ok(Box::new(move |out| {
            executed.iter().try_for_each(|command| {
                out.write_all(&(command.len() as u64).to_le_bytes())?;
                out.write_all(command)
            })
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        self.executed.clear();
        let mut rest = &bytes[..];
        while let Some((length, behind)) = rest.split_at_checked(8) {
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            self.executed.push(behind[..length].to_vec());
            rest = &behind[length..];
        }
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        self.store.as_ref().map(|store| store.lock().1.clone())
    }

    fn end_batch(&mut self, position: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        match &self.store {
            Some(store) => {
                *store.lock() = (self.executed.clone(), Held { position, sidecar: sidecar.to_vec() });
            }
            None => assert!(sidecar.is_empty(), "nobody would store it"),
        }
        Ok(())
    }
}

fn answer(command: &[u8], count: usize) -> Vec<u8> {
    [command, &(count as u64).to_le_bytes()[..2]].concat()
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), LogIndex(index))
}

/// A machine and the index of its last entry.
struct Scene {
    machine: Sessions<Journal>,
    last: u64,
}

impl Scene {
    fn new() -> Self {
        Self { machine: Sessions::new(Journal::in_memory()).unwrap(), last: 0 }
    }

    fn on(store: &Store) -> Self {
        Self { machine: Sessions::new(Journal::on(store)).unwrap(), last: store.lock().1.position.index.0 }
    }

    fn apply(&mut self, entry: &[u8]) -> Bytes {
        self.last += 1;
        let response = self.machine.apply(at(self.last), entry, true).expect("a good entry");
        response.expect("somebody waits")
    }

    fn open(&mut self, bounds: SessionBounds) -> SessionId {
        opened_session(&self.apply(&seal_open(bounds))).expect("a session's name")
    }

    /// Command `sequence` of `session`, all below `answered_below` being answered.
    fn send(
        &mut self,
        session: SessionId,
        (sequence, answered_below): (u64, u64),
    ) -> Result<Vec<u8>, Refusal> {
        let tag = SessionTag { session, sequence, answered_below };
        let entry = seal_in_session(tag, |out| out.push(sequence as u8));
        match session_response(&self.apply(&entry)) {
            Ok(response) => Ok(response.to_vec()),
            Err(NoResponse::Refused(refusal)) => Err(refusal),
            Err(NoResponse::Malformed) => panic!("no response of a session"),
        }
    }

    fn end_batch(&mut self) {
        self.machine.end_batch(at(self.last)).expect("it stores what it is given");
    }

    fn executed(&self) -> &[Vec<u8>] {
        &self.machine.user().executed
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.machine.snapshot().expect("a picture")(&mut bytes).expect("a vector takes all");
        bytes
    }

    /// Another machine that begins with what `snapshot` holds.
    fn restored(&self, snapshot: &[u8]) -> Self {
        let mut machine = Sessions::new(Journal::in_memory()).unwrap();
        machine.restore(&mut &snapshot[..]).expect("a good snapshot");
        Self { machine, last: self.last }
    }
}

const ROOMY: SessionBounds = SessionBounds::of(100);

#[test]
fn a_command_that_comes_twice_takes_effect_once_and_gets_the_first_answer() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);

    let first = scene.send(session, (0, 0));
    scene.apply(&seal_plain(|out| out.push(9)));
    let again = scene.send(session, (0, 0));

    assert_eq!(first, Ok(answer(&[0], 1)));
    assert_eq!(again, first);
    assert_eq!(scene.executed(), [[0], [9]]);
}

#[test]
fn commands_of_one_session_may_come_in_any_order() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);

    for sequence in [2, 0, 1, 0, 2] {
        scene.send(session, (sequence, 0)).expect("it is answered");
    }

    assert_eq!(scene.executed(), [[2], [0], [1]]);
}

#[test]
fn what_the_session_has_done_with_is_never_executed_whether_it_was_or_not() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);
    scene.send(session, (0, 0)).unwrap();

    scene.send(session, (2, 2)).unwrap();

    assert_eq!(scene.send(session, (0, 0)), Err(Refusal::Forgotten), "it was answered");
    assert_eq!(scene.send(session, (1, 0)), Err(Refusal::Forgotten), "it was given up");
    assert_eq!(scene.executed(), [[0], [2]]);
}

#[test]
fn a_session_that_was_closed_or_never_opened_executes_nothing() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);
    scene.send(session, (0, 0)).unwrap();

    scene.apply(&seal_close(session));
    scene.apply(&seal_close(session));

    assert_eq!(scene.send(session, (0, 0)), Err(Refusal::Expired));
    assert_eq!(scene.send(session, (1, 0)), Err(Refusal::Expired));
    assert_eq!(scene.send(SessionId(77), (0, 0)), Err(Refusal::Expired));
    assert_eq!(scene.executed(), [[0]]);
}

#[test]
fn the_least_recently_used_session_goes_when_there_are_too_many() {
    let mut scene = Scene::new();
    let bounds = SessionBounds::of(2);
    let (first, second) = (scene.open(bounds), scene.open(bounds));
    scene.send(first, (0, 0)).unwrap();

    let third = scene.open(bounds);

    assert_eq!(scene.send(second, (0, 0)), Err(Refusal::Expired));
    assert_eq!(scene.send(first, (0, 0)), Ok(answer(&[0], 1)), "it was used since");
    assert!(scene.send(third, (0, 0)).is_ok());
}

#[test]
fn a_repeated_command_counts_as_a_use() {
    let mut scene = Scene::new();
    let bounds = SessionBounds::of(2);
    let (first, second) = (scene.open(bounds), scene.open(bounds));
    scene.send(first, (0, 0)).unwrap();
    scene.send(second, (0, 0)).unwrap();
    scene.send(first, (0, 0)).unwrap();

    scene.open(bounds);

    assert!(scene.send(first, (0, 0)).is_ok());
    assert_eq!(scene.send(second, (0, 0)), Err(Refusal::Expired));
}

#[test]
fn fewer_sessions_stand_from_the_moment_at_which_somebody_allows_fewer() {
    let mut scene = Scene::new();
    let sessions: Vec<_> = (0..5).map(|_| scene.open(ROOMY)).collect();

    let last = scene.open(SessionBounds::of(2));

    let stand: Vec<_> = scene.machine.table.sessions.keys().copied().collect();
    assert_eq!(stand, [sessions[4], last]);
}

#[test]
fn a_session_with_too_much_unanswered_executes_nothing_new_until_it_says_what_has_arrived() {
    let mut scene = Scene::new();
    let session = scene.open(SessionBounds { unanswered_max: 2, ..ROOMY });
    scene.send(session, (0, 0)).unwrap();
    scene.send(session, (1, 0)).unwrap();

    assert_eq!(scene.send(session, (2, 0)), Err(Refusal::Full));
    assert_eq!(scene.send(session, (1, 0)), Ok(answer(&[1], 2)), "what is kept is given");
    assert_eq!(scene.send(session, (2, 1)), Ok(answer(&[2], 3)));
    assert_eq!(scene.executed(), [[0], [1], [2]]);
}

#[test]
fn an_answer_that_is_too_large_is_given_once_and_not_kept() {
    let mut scene = Scene::new();
    let session = scene.open(SessionBounds { answer_bytes_max: 2, ..ROOMY });

    assert_eq!(scene.send(session, (0, 0)), Ok(answer(&[0], 1)));
    assert_eq!(scene.send(session, (0, 0)), Err(Refusal::Forgotten));
    assert_eq!(scene.executed(), [[0]]);
}

#[test]
fn answers_that_are_too_long_together_go_and_their_commands_remain_executed() {
    let mut scene = Scene::new();
    // Two answers of three bytes, each with its status.
    let bounds = SessionBounds { answers_bytes_max: 2 * 4, ..ROOMY };
    let (first, second) = (scene.open(bounds), scene.open(bounds));
    scene.send(first, (0, 0)).unwrap();
    scene.send(second, (0, 0)).unwrap();

    scene.send(second, (1, 0)).unwrap();
    assert_eq!(scene.send(first, (0, 0)), Err(Refusal::Forgotten), "it was the least recently used");
    assert_eq!(scene.send(second, (0, 0)), Ok(answer(&[0], 2)));

    scene.send(second, (2, 0)).unwrap();
    assert_eq!(scene.send(second, (0, 0)), Err(Refusal::Forgotten), "the lowest number goes first");
    assert_eq!(scene.send(second, (1, 0)), Ok(answer(&[1], 3)));
    assert_eq!(scene.executed(), [[0], [0], [1], [2]]);
}

#[test]
fn sessions_go_when_too_many_commands_are_known_but_never_the_one_in_use() {
    let mut scene = Scene::new();
    let bounds = SessionBounds { unanswered_max: 3, answers_max: 3, ..ROOMY };
    let (first, second) = (scene.open(bounds), scene.open(bounds));
    scene.send(first, (0, 0)).unwrap();
    for sequence in 0..3 {
        scene.send(second, (sequence, 0)).unwrap();
    }

    assert_eq!(scene.send(first, (1, 0)), Err(Refusal::Expired));
    assert_eq!(scene.send(second, (3, 0)), Err(Refusal::Full));
    assert_eq!(scene.send(second, (3, 1)), Ok(answer(&[3], 5)));
}

/// While a cluster is upgraded, two versions of a state machine may write one answer differently.
#[test]
fn what_is_executed_does_not_depend_on_how_long_answers_are() {
    let bounds = SessionBounds {
        sessions_max: 3,
        unanswered_max: 4,
        answers_max: 6,
        answer_bytes_max: 5,
        answers_bytes_max: 9,
    };
    let mut replicas = [0, 1, 40].map(|padding| {
        let mut scene = Scene::new();
        scene.machine.machine.0.padding = padding;
        scene
    });
    let mut opened = Vec::new();
    for step in 0..400_u64 {
        let chosen = |of: usize| (step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % of;
        for (nth, scene) in replicas.iter_mut().enumerate() {
            if step % 16 == 0 || opened.is_empty() {
                let session = scene.open(bounds);
                if nth == 0 {
                    opened.push(session);
                }
            } else {
                let session = opened[opened.len() - 1 - chosen(opened.len().min(4))];
                let sequence = step % 8 + step / 64;
                let _ = scene.send(session, (sequence, sequence.saturating_sub(4)));
            }
        }
    }

    let [first, others @ ..] = &replicas;
    assert!(first.executed().len() > 50, "hardly anything is executed");
    for other in others {
        assert_eq!(other.executed(), first.executed());
        assert!(other.machine.table.sessions.keys().eq(first.machine.table.sessions.keys()));
    }
}

#[test]
fn a_snapshot_carries_the_sessions() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);
    let first = scene.send(session, (0, 0));

    let mut restored = scene.restored(&scene.snapshot());

    assert_eq!(restored.send(session, (0, 0)), first);
    assert_eq!(restored.executed(), [[0]]);
    assert_eq!(restored.send(session, (1, 0)), Ok(answer(&[1], 2)));
}

#[test]
fn a_machine_on_disk_that_is_opened_again_has_forgotten_nothing() {
    let store = blank_store();
    let mut scene = Scene::on(&store);
    let session = scene.open(ROOMY);
    let first = scene.send(session, (0, 0));
    scene.end_batch();
    scene.send(session, (1, 0)).unwrap();

    let mut reopened = Scene::on(&store);

    assert_eq!(reopened.send(session, (1, 0)), Ok(answer(&[1], 2)), "its batch was not ended");
    assert_eq!(reopened.send(session, (0, 0)), first);
    assert_eq!(reopened.executed(), [[0], [1]]);
}

#[test]
fn a_sidecar_belongs_to_its_position_also_where_no_session_was_used() {
    let store = blank_store();
    let mut scene = Scene::on(&store);
    let session = scene.open(ROOMY);
    scene.end_batch();
    scene.apply(&seal_plain(|out| out.push(1)));
    scene.end_batch();

    assert_eq!(Scene::on(&store).machine.table, scene.machine.table);
    store.lock().1.position = at(1);
    let refused = Sessions::new(Journal::on(&store)).err().expect("it belongs elsewhere");
    assert!(refused.reason.contains("it belongs to entry"), "{refused}");
    assert_eq!(session, SessionId(1));
}

#[test]
fn a_machine_that_does_not_store_what_it_is_given_is_refused() {
    let store = blank_store();
    store.lock().1.position = at(3);

    let refused = Sessions::new(Journal::on(&store)).err().expect("the sidecar is missing");

    assert!(refused.reason.contains("it is empty: what `end_batch` is given must be stored"), "{refused}");
}

#[test]
fn the_empty_table_is_a_few_bytes() {
    let store = blank_store();
    let mut scene = Scene::on(&store);
    scene.apply(&seal_plain(|out| out.push(1)));
    scene.end_batch();

    assert_eq!(store.lock().1.sidecar.len(), 13 + 28 + 20);
}

#[test]
fn a_machine_that_fails_to_restore_leaves_no_table_of_another_state() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);
    let snapshot = scene.snapshot();
    let mut broken = Sessions::new(Journal::in_memory()).unwrap();

    let cut = broken.restore(&mut (&snapshot[..]).take(20));

    assert!(cut.is_err_and(|error| error.reason.contains("it ends too early")));
    assert!(broken.table.sessions.is_empty());
    assert!(scene.machine.table.sessions.contains_key(&session));
}

#[test]
fn every_byte_of_a_table_counts() {
    let mut scene = Scene::new();
    let session = scene.open(ROOMY);
    scene.send(session, (0, 0)).unwrap();
    scene.send(session, (3, 0)).unwrap();
    let mut sidecar = Vec::new();
    form::encode_section(&scene.machine.table, &mut sidecar);
    let section_bytes = sidecar.len();
    form::seal_sidecar(&mut sidecar, section_bytes, at(9));
    assert_eq!(form::open_sidecar(&sidecar, at(9)), Ok(scene.machine.table.clone()));

    for place in 0..sidecar.len() {
        let mut damaged = sidecar.clone();
        damaged[place] ^= 1;
        assert!(form::open_sidecar(&damaged, at(9)).is_err(), "byte {place} is not looked at");
        let in_snapshot = form::read_section(&mut &damaged[..section_bytes.min(damaged.len())]);
        assert!(place >= section_bytes || in_snapshot.is_err(), "byte {place} is not looked at");
    }
    for length in 0..sidecar.len() {
        assert!(form::open_sidecar(&sidecar[..length], at(9)).is_err());
    }
    for length in 0..section_bytes {
        assert!(form::read_section(&mut &sidecar[..length]).is_err());
    }
}

#[test]
fn a_table_of_another_version_is_refused_by_name() {
    let mut section = Vec::new();
    form::encode_section(&Table::new(), &mut section);
    section[4] = 2;

    let refused = form::read_section(&mut &section[..]).expect_err("nobody knows it");

    assert!(refused.reason.contains("version 2, and this build knows version 1"), "{refused}");
}

#[test]
fn a_snapshot_whose_sessions_were_used_behind_its_position_is_refused() {
    let mut scene = Scene::new();
    scene.open(ROOMY);
    scene.open(ROOMY);

    let mut restored = scene.restored(&scene.snapshot());

    let refused = restored.machine.end_batch(at(1)).expect_err("an entry of index 2 is in it");
    assert!(refused.reason.contains("it tells of entry 2"), "{refused}");
}

#[test]
fn a_length_that_no_table_has_is_refused_before_anything_is_read() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("it is looked for");
        }
    }
    let head = [&b"QSES\x01"[..], &u32::MAX.to_le_bytes(), &[0; 4]].concat();

    let refused = form::read_section(&mut head.chain(Endless)).expect_err("no table is so long");

    assert!(refused.reason.contains("4294967295 bytes"), "{refused}");
}

/// Something that happens to a machine with a few sessions.
#[derive(Clone, Debug)]
enum Step {
    Plain(u8),
    Open(SessionBounds),
    /// Of the session that was opened as the nth, counted from the last.
    Send {
        nth: usize,
        sequence: u64,
        answered_below: u64,
        padding: usize,
    },
    Close {
        nth: usize,
    },
    /// A snapshot takes the state's place.
    Restore,
    /// The machine is opened again.
    Restart,
}

fn bounds() -> impl Strategy<Value = SessionBounds> {
    (1..5_u32, 1..5_u32, 0..8_u32, 0..20_u32, 0..100_u64).prop_map(
        |(sessions_max, unanswered_max, more, answer_bytes_max, answers_bytes_max)| SessionBounds {
            sessions_max,
            unanswered_max,
            answers_max: unanswered_max + more,
            answer_bytes_max,
            answers_bytes_max,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let send =
        (0..5_usize, 0..8_u64, 0..8_u64, 0..30_usize).prop_map(|(nth, sequence, answered, padding)| {
            Step::Send { nth, sequence, answered_below: answered.min(sequence), padding }
        });
    prop_oneof![
        1 => any::<u8>().prop_map(Step::Plain),
        2 => bounds().prop_map(Step::Open),
        12 => send,
        1 => (0..5_usize).prop_map(|nth| Step::Close { nth }),
        1 => Just(Step::Restore),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_table_does_what_its_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let store = blank_store();
        let mut scene = Scene::on(&store);
        let (mut model, mut executed) = (ModelMachine::default(), Vec::<Vec<u8>>::new());
        let mut opened = Vec::new();
        for step in steps {
            let session = |nth: usize| opened.iter().rev().nth(nth).copied().unwrap_or(SessionId(1 << 40));
            let entry = match step {
                Step::Plain(byte) => seal_plain(|out| out.push(byte)),
                Step::Open(bounds) => seal_open(bounds),
                Step::Send { nth, sequence, answered_below, padding } => {
                    let tag = SessionTag { session: session(nth), sequence, answered_below };
                    seal_in_session(tag, |out| out.resize(padding, sequence as u8))
                }
                Step::Close { nth } => seal_close(session(nth)),
                Step::Restore => {
                    let snapshot = scene.snapshot();
                    let mut machine = Sessions::new(Journal::on(&store)).unwrap();
                    machine.restore(&mut &snapshot[..]).expect("a good snapshot");
                    scene.machine = machine;
                    continue;
                }
                Step::Restart => {
                    scene.end_batch();
                    scene.machine = Sessions::new(Journal::on(&store)).unwrap();
                    continue;
                }
            };
            let response = scene.apply(&entry);
            let expected = model.apply(scene.last, Envelope::open(&entry).unwrap(), |command| {
                executed.push(command.to_vec());
                answer(command, executed.len())
            });
            if entry[0] == 1 {
                opened.push(SessionId(scene.last));
            }

            prop_assert_eq!(response.as_ref(), &expected[..]);
            prop_assert_eq!(scene.machine.sessions(), model.model.clone());
            prop_assert_eq!(scene.executed(), &executed[..]);
            scene.machine.assert_consistent();
        }
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_are_the_table_that_would_be_written(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        is_sealed: bool,
    ) {
        let section = if is_sealed { form::sealed_section(&bytes) } else { bytes };
        if let Ok(table) = form::read_section(&mut &section[..]) {
            let mut again = Vec::new();
            form::encode_section(&table, &mut again);
            prop_assert_eq!(again, section);
            table.assert_consistent();
        }
    }
}
