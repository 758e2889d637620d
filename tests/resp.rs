//! Replays what the fuzzer found worth keeping for the requests of the example's clients: `fuzz/corpus/resp`.
//!
//! `QUORATE_FUZZ_SEEDS=1 cargo test --test resp` writes the seeds there.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "resp/laws.rs"]
mod laws;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/resp")
}

#[test]
fn requests_hold_for_the_whole_corpus() {
    let entries = fs::read_dir(corpus()).expect("the corpus of this target");
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "the corpus of resp is empty");
    for input in inputs {
        println!("{}", input.display());
        laws::resp(&fs::read(&input).expect("a readable input"));
    }
}

#[test]
fn requests_hold_for_the_seeds() {
    let seeds: [&[u8]; 7] = [
        b"\0\0PING\r\n",
        b"\0\x03SET \"a b\\n\" 'c'\r\nGET x\n",
        b"\0\x01*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"\0\x05*0\r\n*-1\r\n*1\r\n$4\r\nINFO\r\n",
        b"\0\0*1000001\r\n$0\r\n\r\n",
        b"\0\0*2\r\n$8388609\r\n",
        b"\0\x02POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for (nth, seed) in seeds.iter().enumerate() {
        laws::resp(seed);
        if std::env::var_os("QUORATE_FUZZ_SEEDS").is_some() {
            fs::create_dir_all(corpus()).expect("the corpus is writable");
            fs::write(corpus().join(format!("seed-{nth:03}")), seed).expect("the corpus is writable");
        }
    }
}
