//! A cluster grows from one node to five and shrinks back to one, while clients write and nodes are killed. Nothing that
//! was acknowledged is lost on the way.

use crate::load::{Fate, Load, count};
use crate::program::client::Answer;
use crate::random::Random;
use crate::stand::{Stand, eventually};

const NODES: usize = 5;

#[test]
fn a_cluster_grows_to_five_and_shrinks_to_one_under_load_and_kills_and_loses_nothing() {
    let seed = Random::seed();
    let random = Random::new(seed);
    let stand = Stand::prepare(1).with_options(&["--snapshot-entries", "300"]).start_all();
    let load = Load::start(vec![stand.redis(1).to_owned()], seed);
    let mut scene = Scene { stand, load, random, members: vec![1], kills: 0 };

    while scene.members.len() < NODES {
        scene.grow();
    }
    while scene.members.len() > 1 {
        scene.shrink();
    }
    scene.load.await_writes(50);

    let Scene { mut stand, load, members, kills, .. } = scene;
    let records = load.finish();
    let last = members[0];
    stand.kill(last);
    stand.start_node(last);
    assert_eq!(stand.leader(), last);
    for record in &records {
        record.check(&mut stand.client(last));
    }
    println!(
        "{kills} kills; {} acknowledged, {} unknown, {} refused, none lost",
        count(&records, Fate::Acknowledged),
        count(&records, Fate::Unknown),
        count(&records, Fate::Refused),
    );
}

struct Scene {
    stand: Stand,
    load: Load,
    random: Random,
    /// All of them vote, between the steps.
    members: Vec<usize>,
    kills: usize,
}

impl Scene {
    /// One more voter.
    fn grow(&mut self) {
        self.load.await_writes(20);
        let id = self.stand.start_joiner();
        let at = self.stand.raft(id).to_owned();
        self.change(&format!("RAFT ADD {id} {at}"), "is a member already");
        self.change(&format!("RAFT PROMOTE {id}"), "is not a learner");
        self.members.push(id);
        self.go_through_members();
    }

    /// One voter less, whichever it is: the leader too.
    fn shrink(&mut self) {
        self.load.await_writes(20);
        let at = self.random.below(self.members.len());
        let id = self.members.swap_remove(at);
        // Clients that come from now on are not sent to a node that goes.
        self.go_through_members();
        self.change(&format!("RAFT REMOVE {id}"), "is not a member");
        assert_eq!(self.stand.terminate(id), Some(0), "a node that was removed ends well");
    }

    /// Asks for a change, kills a node while it is under way, and asks until it is done: until a node says so, or says
    /// that there is nothing left to do. An operator who was not answered knows no more than that.
    fn change(&mut self, line: &str, nothing_to_do: &str) {
        let asked = self.any_member();
        let mut operator = self.stand.client(asked);
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        operator.send(&words).expect("the node runs");
        if self.random.below(2) == 0 {
            let victim = self.any_member();
            self.stand.kill(victim);
            self.kills += 1;
            self.stand.start_node(victim);
        }
        let mut answer = operator.receive();
        eventually(line, || {
            match &answer {
                Ok(Answer::Status(_)) => return Some(()),
                Ok(Answer::Error(text)) if text.contains(nothing_to_do) => return Some(()),
                Ok(Answer::Error(text)) => {
                    let prefixes = ["TRYAGAIN ", "UNKNOWN ", "ERR the change was not begun: "];
                    assert!(prefixes.iter().any(|prefix| text.starts_with(prefix)), "{line}: {text}");
                }
                Ok(other) => panic!("{line}: {other:?}"),
                Err(_) => {}
            }
            let asked = self.any_member();
            answer = self.stand.ask(asked, line);
            None
        });
    }

    fn any_member(&mut self) -> usize {
        self.members[self.random.below(self.members.len())]
    }

    fn go_through_members(&self) {
        let addresses = self.members.iter().map(|&id| self.stand.redis(id).to_owned());
        self.load.go_through(addresses.collect());
    }
}
