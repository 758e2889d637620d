//! What answers at an address need not be a node. It costs no more than its own time, and nobody hangs.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use quorate::{Client, ClientConfig, ClientError, ClusterId, ConnectError, Outcome};

use crate::calls::line;
use crate::raw;
use crate::scene::{Alone, LONG, Obedient};

/// What it does with whoever comes.
type Conduct = fn(TcpStream, ClusterId);

/// Somebody who listens, and says `conduct`.
fn impostor(cluster: ClusterId, conduct: Conduct) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || conduct(stream, cluster));
        }
    });
    address
}

/// As a node welcomes a client.
fn welcome(mut stream: &TcpStream, cluster: ClusterId) {
    let mut body = vec![1, 1];
    body.extend(cluster.0.to_le_bytes());
    body.extend(66_u64.to_le_bytes());
    body.extend((1_u32 << 20).to_le_bytes());
    let mut answer = b"\xF4quorate".to_vec();
    answer.extend((body.len() as u16).to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&answer), &body);
    answer.extend(sum.to_le_bytes());
    answer.extend(body);
    let _ = stream.write_all(&answer);
}

/// As a node tells of the cluster: it is alone in it, and leads.
fn cluster(mut stream: &TcpStream, members: &[(u64, &str)]) {
    let mut body = vec![1];
    body.extend(66_u64.to_le_bytes());
    body.push(members.len() as u8);
    for (id, address) in members {
        body.extend(id.to_le_bytes());
        body.extend((address.len() as u16).to_le_bytes());
        body.extend(address.as_bytes());
    }
    let _ = stream.write_all(&raw::frame(65, &body));
}

/// Reads until the other side ends, and heeds nothing.
fn read_on(mut stream: &TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

const CONDUCTS: &[(&str, Conduct)] = &[
    ("says nothing", |stream, _| read_on(&stream)),
    ("closes at once", |stream, _| drop(stream)),
    ("says garbage", |mut stream, _| {
        let _ = stream.write_all(&[0xF4; 5000]);
        read_on(&stream);
    }),
    ("speaks another protocol", |mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        read_on(&stream);
    }),
    ("says half a welcome", |mut stream, _| {
        let _ = stream.write_all(b"\xF4quorate");
        read_on(&stream);
    }),
    ("says who it is and no more", |stream, meant| {
        welcome(&stream, meant);
        read_on(&stream);
    }),
    ("belongs to another cluster", |stream, meant| {
        welcome(&stream, ClusterId(!meant.0));
        read_on(&stream);
    }),
    ("announces a frame that no memory holds", |mut stream, meant| {
        welcome(&stream, meant);
        let _ = stream.write_all(&[0xFF; 18]);
        read_on(&stream);
    }),
    ("leads, and never answers", |stream, meant| {
        welcome(&stream, meant);
        cluster(&stream, &[(66, "127.0.0.1:1")]);
        read_on(&stream);
    }),
    ("leads, and says no more", |stream, meant| {
        welcome(&stream, meant);
        cluster(&stream, &[(66, "127.0.0.1:1")]);
        let _ = stream.shutdown(Shutdown::Write);
        read_on(&stream);
    }),
    ("answers what it was not asked", |mut stream, meant| {
        welcome(&stream, meant);
        cluster(&stream, &[(66, "127.0.0.1:1")]);
        let _ = stream.write_all(&raw::frame(66, &[&7_u64.to_le_bytes()[..], b"1"].concat()));
        read_on(&stream);
    }),
    ("answers in a way that does not fit", |mut stream, meant| {
        welcome(&stream, meant);
        cluster(&stream, &[(66, "127.0.0.1:1")]);
        let mut buffer = [0; 4096];
        for id in 0_u64.. {
            if !stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                break;
            }
            let _ = stream.write_all(&raw::frame(68, &id.to_le_bytes()));
        }
    }),
    ("sends a frame with a flipped bit", |mut stream, meant| {
        welcome(&stream, meant);
        let mut frame = raw::frame(65, &[0, 0]);
        frame[19] ^= 1;
        let _ = stream.write_all(&frame);
        read_on(&stream);
    }),
    ("names crowds of members without end", |stream, meant| {
        welcome(&stream, meant);
        let names: Vec<_> = (1..=64).map(|id| (id, format!("127.0.0.1:{id}"))).collect();
        let members: Vec<_> = names.iter().map(|(id, address)| (*id, address.as_str())).collect();
        for _ in 0..500 {
            cluster(&stream, &members);
        }
        read_on(&stream);
    }),
];

#[test]
fn a_client_that_was_sent_to_an_impostor_too_is_served_by_the_real_node() {
    let alone = Alone::start();
    let real = alone.address().to_string();
    let meant = Client::<Obedient>::connect([&real]).expect("it is there").cluster();
    for (count, (conduct, does)) in (1..).zip(CONDUCTS) {
        println!("one that {conduct}");
        let both = [impostor(meant, *does).to_string(), real.clone()];
        let config = ClientConfig::new(both)
            .cluster(meant)
            .connect_within(LONG)
            .call_timeout(LONG)
            .dial_timeout(Duration::from_millis(300))
            .silence_timeout(Duration::from_millis(300));
        let client = Client::<Obedient>::connect_with(config).expect("one of them is a node");

        let total = client.propose(line("add 1")).expect("it is applied");

        assert_eq!(total, count.to_string(), "besides one that {conduct}");
        assert_eq!(client.query(line("total")).expect("it is answered"), total);
    }
}

#[test]
fn a_call_to_impostors_alone_ends_at_its_deadline() {
    let meant = ClusterId(7);
    for (conduct, does) in CONDUCTS {
        println!("one that {conduct}");
        let address = impostor(meant, *does).to_string();
        let config = ClientConfig::new([address.as_str()])
            .cluster(meant)
            .connect_within(Duration::from_millis(500))
            .call_timeout(Duration::from_millis(500))
            .dial_timeout(Duration::from_millis(200))
            .silence_timeout(Duration::from_millis(200));

        match Client::<Obedient>::connect_with(config) {
            Err(ConnectError::Unreachable { tried }) => assert!(tried.contains(&address), "{tried}"),
            Err(other) => panic!("one that {conduct}: {other}"),
            Ok(client) => {
                let error = client.propose(line("add 1")).expect_err("nobody can have applied it");
                // No session was ever opened, so the command certainly never left.
                assert_eq!(error.outcome(), Outcome::NotApplied, "one that {conduct}: {error}");
                assert!(!matches!(error, ClientError::Stopped { .. }), "one that {conduct}: {error}");
            }
        }
    }
}
