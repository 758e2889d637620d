//! Sessions on clusters of real nodes: what is sent again takes effect once, and what is bounded says so by name.

#[path = "cluster/scene.rs"]
#[expect(dead_code, reason = "the scene serves other tests too")]
mod scene;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use quorate::{Outcome, ProposeError, Session};
use scene::{Cluster, Journal, LONG};

fn times(texts: &[String], text: &str) -> usize {
    texts.iter().filter(|applied| *applied == text).count()
}

#[test]
fn commands_in_sessions_take_effect_once_while_leaders_come_and_go() {
    const EACH: usize = 60;
    let mut cluster = Cluster::of(3);
    let asked = cluster.node(1).clone();
    let session = asked.session().expect("a session");
    let own = asked.session().expect("another one");
    // Two threads share a session, one has its own.
    let callers: Vec<_> = [("a", session.clone()), ("b", session), ("c", own)]
        .into_iter()
        .map(|(name, session)| {
            thread::spawn(move || {
                for nth in 0..EACH {
                    let text = format!("{name}{nth}");
                    assert_eq!(
                        session.propose(text.clone()),
                        Ok(text),
                        "in a session, and with a minute's time"
                    );
                }
            })
        })
        .collect();

    for round in 0..3 {
        for id in [2, 3] {
            cluster.leader();
            // It may be refused, by a leader that has just lost another follower, say: the next round tries again.
            let _ = cluster.node(1).transfer_leadership(Some(id));
            cluster.stop(id);
            let text = format!("while {id} is down, {round}");
            asked.session().expect("a session").propose(text).expect("two are a majority");
            cluster.restart(id);
        }
    }

    for caller in callers {
        caller.join().expect("every command was answered");
    }
    let texts = cluster.agreed_texts();
    for name in ["a", "b", "c"] {
        for nth in 0..EACH {
            assert_eq!(times(&texts, &format!("{name}{nth}")), 1);
        }
    }
}

#[test]
fn a_request_whose_fate_was_unknown_can_be_sent_again_later() {
    let mut cluster = Cluster::of(3);
    let session = cluster.node(1).session().expect("a session");
    let request = session.request("once".to_owned()).expect("few are open");
    cluster.stop(2);
    cluster.stop(3);

    let error = request.send_within(Duration::from_millis(50)).expect_err("there is no majority");
    cluster.restart(2);
    cluster.restart(3);

    assert!(matches!(error, ProposeError::Unknown | ProposeError::NoLeader), "{error}");
    assert_eq!(request.send(), Ok("once".to_owned()));
    assert_eq!(request.send(), Ok("once".to_owned()), "it is answered again");
    assert_eq!(times(&cluster.agreed_texts(), "once"), 1);
}

#[test]
fn a_session_that_had_to_go_says_so_and_executes_nothing() {
    let cluster = Cluster::tuned(1, |config| config.sessions_max(2));
    let node = cluster.node(1);
    let open = || node.session().expect("a session");
    let (first, second) = (open(), open());
    let request = first.request("early".to_owned()).expect("few are open");
    request.send().expect("it stands");
    second.propose("second".to_owned()).expect("it stands");

    let _third = open();

    let refused = request.send();
    assert_eq!(refused, Err(ProposeError::SessionExpired), "{first:?} was used before {second:?}");
    assert_eq!(ProposeError::SessionExpired.outcome(), Outcome::Unknown);
    assert_eq!(first.propose("late".to_owned()), Err(ProposeError::SessionExpired));
    assert_eq!(second.propose("again".to_owned()), Ok("again".to_owned()));
    assert_eq!(cluster.agreed_texts(), ["early", "second", "again"]);
}

#[test]
fn an_answer_that_is_too_large_to_keep_is_given_once() {
    let cluster = Cluster::of(1);
    let session = cluster.node(1).session().expect("a session");
    let large = "x".repeat(100 << 10);
    let request = session.request(large.clone()).expect("few are open");

    assert_eq!(request.send(), Ok(large));
    assert_eq!(request.send(), Err(ProposeError::AnswerForgotten));
    assert_eq!(ProposeError::AnswerForgotten.outcome(), Outcome::Unknown, "sent as another it is done twice");
    assert_eq!(cluster.agreed_texts().len(), 1);
}

#[test]
fn one_open_request_holds_up_only_so_many_others() {
    let cluster = Cluster::of(1);
    let session = cluster.node(1).session().expect("a session");
    let oldest = session.request("oldest".to_owned()).expect("the first");
    let tickets: Vec<_> = (1..1024).map(|nth| session.submit(nth.to_string())).collect();
    for ticket in tickets {
        ticket.wait().expect("it is answered");
    }

    assert_eq!(session.submit("one more".to_owned()).wait(), Err(ProposeError::SessionFull));
    assert_eq!(ProposeError::SessionFull.outcome(), Outcome::NotApplied);
    let refused = session.propose_within("one more".to_owned(), Duration::from_millis(1));
    assert_eq!(refused, Err(ProposeError::SessionFull));

    let waiting = thread::spawn({
        let session = session.clone();
        move || session.propose("one more".to_owned())
    });
    assert_eq!(oldest.send(), Ok("oldest".to_owned()));
    drop(oldest);
    assert_eq!(waiting.join().expect("no panic"), Ok("one more".to_owned()));
    assert_eq!(cluster.agreed_texts().len(), 1025);
}

#[test]
fn what_is_submitted_in_a_session_takes_effect_in_that_order() {
    let cluster = Cluster::of(3);
    let follower = cluster.follower();
    let session = cluster.node(follower).session().expect("a session");

    let tickets: Vec<_> = (0..200).map(|nth| session.submit(nth.to_string())).collect();
    for (nth, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait(), Ok(nth.to_string()));
    }

    let expected: Vec<String> = (0..200).map(|nth| nth.to_string()).collect();
    assert_eq!(cluster.agreed_texts(), expected);
}

#[test]
fn a_call_in_a_session_on_a_thread_of_the_node_does_not_wait_for_itself() {
    let cluster = Cluster::of(1);
    let node = cluster.node(1);
    let session = node.session().expect("a session");
    let (sender, heard) = mpsc::channel();

    let inside: (Session<Journal>, _) = (session.clone(), node.clone());
    node.submit("first".to_owned()).on_done(move |_| {
        let (session, node) = inside;
        let request = session.request("third".to_owned()).expect("few are open");
        let opened = node.session().map(|_| ());
        let _ = sender.send((session.propose("second".to_owned()), request.send(), opened));
    });

    let (proposed, sent, opened) = heard.recv_timeout(LONG).expect("the callback runs");
    assert_eq!(proposed, Err(ProposeError::WouldDeadlock));
    assert_eq!(sent, Err(ProposeError::WouldDeadlock));
    assert_eq!(opened, Err(ProposeError::WouldDeadlock));
    assert_eq!(session.propose("later".to_owned()), Ok("later".to_owned()));
}
