//! Clients that send what no client would, or not enough, or do not listen: each costs itself, and nobody else.

use std::net::Shutdown;
use std::time::Duration;

use quorate::ServerConfig;

use crate::raw::{PROPOSE, QUERY, Raw, Said, frame, propose, query, request};
use crate::scene::{Alone, Line};

/// Waits until a number of the server is what it should be: some other thread counts it.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

#[test]
fn what_no_client_would_send_ends_its_connection_and_no_other() {
    let alone = Alone::start();
    let mut good = Raw::client(alone.address());
    let mut flipped = propose(1, "say x");
    *flipped.last_mut().expect("a frame") ^= 1;
    let with = |at: usize, byte: u8| {
        let mut frame = propose(1, "say x");
        frame[at] = byte;
        frame
    };
    let nonsense = [
        flipped,
        with(4, 2),
        with(6, 2),
        frame(99, &[0; 16]),
        frame(65, &[0; 30]),
        frame(PROPOSE, &[0; 15]),
        request(QUERY, 1, b"\x02total"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xFF; 18],
    ];

    for bytes in &nonsense {
        let mut bad = Raw::client(alone.address());
        bad.write(&[propose(1, "say first"), bytes.clone()].concat());
        bad.wait_for_end();
    }

    let metrics = alone.server.node().metrics();
    assert_eq!(metrics.server.malformed.get(), nonsense.len() as u64);
    assert_eq!(good.text(&propose(1, "say good")), "good");
}

#[test]
fn a_frame_that_is_too_long_is_refused_by_its_head() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    client.write(&[&u32::MAX.to_le_bytes()[..], &[1, PROPOSE]].concat());
    client.wait_for_end();

    assert_eq!(alone.server.node().metrics().server.malformed.get(), 1);
}

#[test]
fn who_speaks_byte_by_byte_is_served() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    for byte in [propose(1, "add 5"), query(2, "total")].concat() {
        client.write(&[byte]);
    }

    assert_eq!(client.read_answers(2).len(), 2);
    assert_eq!(client.text(&query(3, "total")), "5");
}

#[test]
fn who_has_said_all_is_answered_before_the_connection_ends() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    client.write(&[propose(1, "hold"), propose(2, "say last")].concat());
    client.0.shutdown(Shutdown::Write).expect("half of it");
    alone.hold.release();

    let answers = client.read_answers(2);
    assert_eq!(answers[&2], Said::Response { id: 2, text: "last".to_owned() });
    assert_eq!(client.try_read(), None);
}

#[test]
fn what_a_client_that_is_gone_had_asked_is_done_and_harms_nobody() {
    let alone = Alone::start();
    let mut gone = Raw::client(alone.address());
    gone.write(&[propose(1, "hold"), propose(2, "add 5")].concat());
    let metrics = alone.server.node().metrics().server;
    wait_until(|| metrics.requests.get() == 2);

    drop(gone);
    alone.hold.release();

    let mut other = Raw::client(alone.address());
    assert_eq!(other.text(&propose(1, "add 1")), "6");
    wait_until(|| metrics.connections.get() == 1);
}

#[test]
fn who_never_reads_is_cut_off_and_delays_nobody() {
    let alone = Alone::tuned(|config| config.unread_bytes_max(1 << 20));
    let metrics = alone.server.node().metrics().server;
    let mut deaf = Raw::client(alone.address());
    let mut good = Raw::client(alone.address());

    // More than the kernel takes on behalf of the one who does not read.
    let questions: Vec<_> = (0..200).map(|id| query(id, "long 500000")).collect();
    deaf.write(&questions.concat());
    for id in 0.. {
        assert_eq!(good.text(&propose(id, "say good")), "good");
        if metrics.cut_off.get() > 0 {
            break;
        }
    }

    assert_eq!((metrics.cut_off.get(), metrics.connections.get()), (1, 1));
    assert_eq!(good.text(&propose(0, "say good")), "good");
}

#[test]
fn whoever_leaves_most_unread_goes_when_all_together_leave_too_much() {
    // Five of them leave a megabyte less than each of them may, and together more than all of them may.
    const EACH: usize = 12 << 20;
    let alone = Alone::tuned(|config| config.unread_bytes_max(EACH));
    let metrics = alone.server.node().metrics().server;
    let mut deaf: Vec<_> = (0..8).map(|_| Raw::client(alone.address())).collect();

    for client in &mut deaf {
        let questions: Vec<_> = (0..17).map(|id| query(id, "long 1000000")).collect();
        client.write(&questions.concat());
    }
    wait_until(|| metrics.cut_off.get() > 0);

    let mut good = Raw::client(alone.address());
    assert_eq!(good.text(&propose(0, "say good")), "good");
}

#[test]
fn who_reads_slowly_but_reads_gets_everything() {
    let alone = Alone::tuned(|config| config.unread_bytes_max(64 << 20));
    let mut slow = Raw::client(alone.address());

    let questions: Vec<_> = (0..40).map(|id| query(id, "long 1000000")).collect();
    slow.write(&questions.concat());
    let metrics = alone.server.node().metrics().server;
    wait_until(|| metrics.answers.get() == 40);

    let answers = slow.read_answers(40);
    assert!(
        answers.values().all(|said| matches!(said, Said::Response { text, .. } if text.len() == 1_000_000))
    );
}

#[test]
fn who_reads_nothing_for_long_is_cut_off_however_little_waits() {
    let alone = Alone::tuned(|config| config.unread_bytes_max(1 << 30).stall_time(Duration::from_millis(50)));
    let metrics = alone.server.node().metrics().server;
    let mut deaf = Raw::client(alone.address());

    let questions: Vec<_> = (0..20).map(|id| query(id, "long 1000000")).collect();
    deaf.write(&questions.concat());

    wait_until(|| metrics.cut_off.get() == 1);
}

#[test]
fn who_does_not_finish_what_it_began_is_closed() {
    let alone = Alone::tuned(|config| {
        config.stall_time(Duration::from_millis(50)).handshake_time(Duration::from_millis(50))
    });
    let mut mute = Raw::dial(alone.address());
    mute.write(b"\xF3quo");
    let mut halting = Raw::client(alone.address());
    halting.write(&propose(1, "say x")[..20]);
    let mut halting_in_a_large_one = Raw::client(alone.address());
    halting_in_a_large_one.write(&propose(1, &"x".repeat(500_000))[..200_000]);

    mute.wait_for_end();
    halting.wait_for_end();
    halting_in_a_large_one.wait_for_end();

    assert_eq!(alone.server.node().metrics().server.timed_out.get(), 3);
}

#[test]
fn large_requests_wait_for_room_and_are_served_in_their_turn() {
    // Room for one of them while it arrives, and no more.
    let alone = Alone::tuned(|config| config.in_flight_bytes_max(1).stall_time(Duration::from_millis(300)));
    let large = |id| propose(id, &format!("say {}", "x".repeat(1_000_000)));
    let length = |said: &Said| match said {
        Said::Response { text, .. } => text.len(),
        other => panic!("not a response: {other:?}"),
    };
    let mut first = Raw::client(alone.address());
    first.write(&large(1)[..900_000]);
    let others: Vec<_> = (2..6)
        .map(|id| {
            let (mut client, request) = (Raw::client(alone.address()), large(id));
            std::thread::spawn(move || {
                // Busy says that another one is under way already: it comes again.
                loop {
                    let said = client.ask(&request);
                    if !matches!(said, Said::Refused { .. }) {
                        return length(&said);
                    }
                }
            })
        })
        .collect();

    // The first one never ends what it began: it is closed, and the others have its room.
    first.wait_for_end();
    for other in others {
        assert_eq!(other.join().expect("it is answered"), 1_000_000);
    }
}

#[test]
fn who_was_granted_room_for_little_waits_again_if_it_wants_much() {
    // Room for one large request while it arrives, and for some small ones.
    let alone = Alone::configured(|config| {
        ServerConfig::new(config.command_bytes_max(150_000)).in_flight_bytes_max(300_000)
    });
    let adds_in = |bytes, number: u32| propose(1, &format!("add {}{number}", "0".repeat(bytes)));
    let adds = |number| adds_in(140_000, number);
    let mut clients: Vec<_> = (0..4).map(|_| Raw::client(alone.address())).collect();
    let received = &alone.server.node().metrics().server.bytes_received;
    let (before, large, small) = (received.get(), adds(1), adds_in(20_000, 0));
    // One holds all the room, another keeps a little beyond it: who speaks now is not even asked how much it wants.
    clients[0].write(&large[..100_000]);
    wait_until(|| received.get() == before + 100_000);
    clients[1].write(&small[..15_000]);
    wait_until(|| received.get() == before + 115_000);
    clients[2].write(&adds(10)[..100_000]);
    clients[3].write(&adds(100));

    clients[0].write(&large[100_000..]);
    assert_eq!(clients[0].read_answer(), Said::Response { id: 1, text: "1".to_owned() });
    // Were both of the others let in, the one that said all would be counted by now: each of these waits for a disk.
    let node = alone.server.node();
    let totals: Vec<_> =
        (0..50).map(|_| node.propose(Line("add 0".to_owned())).expect("it is applied")).collect();
    clients[2].write(&adds(10)[100_000..]);

    assert!(totals.iter().all(|total| total == "1"), "large requests arrive one by one: {totals:?}");
    assert_eq!(clients[2].read_answer(), Said::Response { id: 1, text: "11".to_owned() });
    assert_eq!(clients[3].read_answer(), Said::Response { id: 1, text: "111".to_owned() });
}
