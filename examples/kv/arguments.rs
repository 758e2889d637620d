//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

pub(crate) const HELP: &str = "\
kv: a durable, linearizable key-value store that speaks the Redis protocol, on quorate

kv                       the demo: three nodes, a crash, a recovery, a verdict
kv serve --id N --data DIR --raft HOST:PORT --redis HOST:PORT
         (--cluster ID=HOST:PORT,ID=HOST:PORT,...  |  --join)
         [--lease-reads] [--snapshot-entries N] [--metrics HOST:PORT]
                         one node, until SIGTERM or SIGINT
kv inspect DIR           what a stopped node has on its disk, log and snapshots, checksums verified; never writes
kv help | kv --version

  --id N                 this node's id, at least 1, one of those in --cluster
  --data DIR             its directory, for this node alone; made if it is not there
  --raft HOST:PORT       where it listens for the other nodes
  --redis HOST:PORT      where it listens for clients
  --cluster LIST         the first members (the bootstrap list): the same on every node, with the addresses at
                         which the others reach them. A directory that already holds a cluster wins over it
  --join                 instead of --cluster: wait to be added to a cluster that runs, by RAFT ADD on one of its nodes
  --lease-reads          a leader that heard a majority just now answers reads without asking it again: faster, and
                         right as long as the nodes' clocks run equally fast to within 10 %
  --snapshot-entries N   take a snapshot every N entries, and shorten the log (1000000 if it is not given)
  --metrics HOST:PORT    serve GET /metrics there, for Prometheus

The first of three nodes on one machine; the others differ in --id, --data, --raft and --redis:
  kv serve --id 1 --data kv1 --raft 127.0.0.1:7001 --redis 127.0.0.1:6301 \\
           --cluster 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003
It prints `ready` when its ports listen. Then: redis-cli -p 6301 set k v; redis-cli -p 6301 raft status

A fourth, while they run, and its way into the cluster:
  kv serve --id 4 --data kv4 --raft 127.0.0.1:7004 --redis 127.0.0.1:6304 --join
  redis-cli -p 6301 raft add 4 127.0.0.1:7004; redis-cli -p 6301 raft promote 4
And: RAFT REMOVE id, REPLACE old new host:port, TRANSFER id, SNAPSHOT, METRICS.

RUST_LOG=info (or warn, debug) makes a node say what it does.
Exit status: 0 done, 1 failed (one line on stderr says why and what to do), 2 wrong arguments.";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    Demo,
    Serve(Serve),
    Inspect(PathBuf),
    Help,
    Version,
}

/// One node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serve {
    pub(crate) id: u64,
    pub(crate) data: PathBuf,
    pub(crate) raft: String,
    pub(crate) redis: String,
    pub(crate) origin: Origin,
    pub(crate) lease_reads: bool,
    pub(crate) snapshot_entries: Option<u64>,
    pub(crate) metrics: Option<String>,
}

/// How a node with an empty directory comes to its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is one of those who found it.
    Founders(Vec<(u64, String)>),
    /// It waits to be added.
    Join,
}

/// Reads the arguments behind the program's name. The error is one line that says what is wrong with them.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let mut parser = Parser::from_args(arguments);
    match next(&mut parser)? {
        None => Ok(Invocation::Demo),
        Some(Arg::Value(word)) if word == "serve" => serve(parser),
        Some(Arg::Value(word)) if word == "inspect" => inspect(parser).map(Invocation::Inspect),
        Some(Arg::Value(word)) if word == "help" => alone(parser, Invocation::Help),
        Some(Arg::Long("help") | Arg::Short('h')) => alone(parser, Invocation::Help),
        Some(Arg::Long("version") | Arg::Short('V')) => alone(parser, Invocation::Version),
        Some(Arg::Value(word)) => Err(format!("unknown command {}", word.display())),
        Some(other) => Err(unknown(&other)),
    }
}

fn serve(mut parser: Parser) -> Result<Invocation, String> {
    let (mut id, mut data, mut raft, mut redis, mut cluster) = (None, None, None, None, None);
    let (mut join, mut lease_reads, mut snapshot_entries, mut metrics) = (None, None, None, None);
    while let Some(argument) = next(&mut parser)? {
        match argument {
            Arg::Long("id") => once(&mut id, "--id", node_id(&text(&mut parser, "--id")?)?)?,
            Arg::Long("data") => {
                let directory = parser.value().map_err(|_| "--data needs a directory")?;
                once(&mut data, "--data", PathBuf::from(directory))?;
            }
            Arg::Long("raft") => once(&mut raft, "--raft", address(text(&mut parser, "--raft")?)?)?,
            Arg::Long("redis") => once(&mut redis, "--redis", address(text(&mut parser, "--redis")?)?)?,
            Arg::Long("cluster") => {
                once(&mut cluster, "--cluster", members(&text(&mut parser, "--cluster")?)?)?;
            }
            Arg::Long("join") => once(&mut join, "--join", ())?,
            Arg::Long("lease-reads") => once(&mut lease_reads, "--lease-reads", ())?,
            Arg::Long("snapshot-entries") => {
                let every = entries(&text(&mut parser, "--snapshot-entries")?)?;
                once(&mut snapshot_entries, "--snapshot-entries", every)?;
            }
            Arg::Long("metrics") => {
                once(&mut metrics, "--metrics", address(text(&mut parser, "--metrics")?)?)?;
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Invocation::Help),
            other => return Err(unknown(&other)),
        }
    }
    let missing = |option: &str| format!("serve needs {option}");
    Ok(Invocation::Serve(Serve {
        id: id.ok_or_else(|| missing("--id N"))?,
        data: data.ok_or_else(|| missing("--data DIR"))?,
        raft: raft.ok_or_else(|| missing("--raft HOST:PORT"))?,
        redis: redis.ok_or_else(|| missing("--redis HOST:PORT"))?,
        origin: match (cluster, join) {
            (Some(founders), None) => Origin::Founders(founders),
            (None, Some(())) => Origin::Join,
            (None, None) => return Err(missing("--cluster ID=HOST:PORT,... or --join")),
            (Some(_), Some(())) => return Err("--cluster and --join exclude each other".into()),
        },
        lease_reads: lease_reads.is_some(),
        snapshot_entries,
        metrics,
    }))
}

fn inspect(mut parser: Parser) -> Result<PathBuf, String> {
    match next(&mut parser)? {
        Some(Arg::Value(directory)) => alone(parser, PathBuf::from(directory)),
        Some(other) => Err(unknown(&other)),
        None => Err("inspect needs a directory".into()),
    }
}

/// Nothing may follow.
fn alone<T>(mut parser: Parser, invocation: T) -> Result<T, String> {
    next(&mut parser)?.map_or(Ok(invocation), |argument| Err(unknown(&argument)))
}

fn next(parser: &mut Parser) -> Result<Option<Arg<'_>>, String> {
    parser.next().map_err(|error| error.to_string())
}

fn unknown(argument: &Arg) -> String {
    match argument {
        Arg::Long(name) => format!("unknown option --{name}"),
        Arg::Short(letter) => format!("unknown option -{letter}"),
        Arg::Value(word) => format!("unexpected argument {}", word.display()),
    }
}

fn text(parser: &mut Parser, option: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("{option} needs a value"))?;
    value.string().map_err(|_| format!("the value of {option} is not text"))
}

fn once<T>(place: &mut Option<T>, option: &str, value: T) -> Result<(), String> {
    if place.replace(value).is_some() {
        return Err(format!("{option} is given twice"));
    }
    Ok(())
}

fn node_id(text: &str) -> Result<u64, String> {
    let id = text.parse().ok().filter(|&id| id > 0);
    id.ok_or_else(|| format!("{text:?} is no node id: a node id is a whole number of at least 1"))
}

fn entries(text: &str) -> Result<u64, String> {
    let entries = text.parse().ok().filter(|&entries| entries > 0);
    entries.ok_or_else(|| format!("{text:?} is no number of entries: expected a whole number of at least 1"))
}

/// Whether anybody listens there, or the name means anything, is found out later.
pub(crate) fn address(text: String) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text),
        _ => Err(format!("{text:?} is no address: expected HOST:PORT")),
    }
}

fn members(list: &str) -> Result<Vec<(u64, String)>, String> {
    list.split(',')
        .map(|member| {
            let (id, at) = member.split_once('=').ok_or_else(|| {
                format!("{member:?} in --cluster is no member: expected ID=HOST:PORT,ID=HOST:PORT,...")
            })?;
            Ok((node_id(id)?, address(at.to_owned())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    const SERVE: &str = "serve --id 2 --data d --raft 0.0.0.0:71 --redis :::72 --cluster 1=a:1,2=[::1]:2";

    #[test]
    fn every_command_is_understood() {
        let serve = Serve {
            id: 2,
            data: "d".into(),
            raft: "0.0.0.0:71".into(),
            redis: ":::72".into(),
            origin: Origin::Founders(vec![(1, "a:1".into()), (2, "[::1]:2".into())]),
            lease_reads: false,
            snapshot_entries: None,
            metrics: None,
        };
        let joins = Serve {
            id: 4,
            data: "d".into(),
            raft: "a:1".into(),
            redis: "a:2".into(),
            origin: Origin::Join,
            lease_reads: true,
            snapshot_entries: Some(9),
            metrics: Some("a:3".into()),
        };
        let line = "serve --join --id 4 --data d --raft a:1 --redis a:2 --lease-reads --snapshot-entries 9 --metrics a:3";
        assert_eq!(parsed(""), Ok(Invocation::Demo));
        assert_eq!(parsed(SERVE), Ok(Invocation::Serve(serve)));
        assert_eq!(parsed(line), Ok(Invocation::Serve(joins)));
        assert_eq!(parsed("inspect d"), Ok(Invocation::Inspect("d".into())));
        assert_eq!(parsed("help"), Ok(Invocation::Help));
        assert_eq!(parsed("serve --id 1 --help"), Ok(Invocation::Help));
        assert_eq!(parsed("--version"), Ok(Invocation::Version));
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        for (line, reason) in [
            ("frobnicate", "unknown command frobnicate"),
            ("help me", "unexpected argument me"),
            ("inspect", "inspect needs a directory"),
            ("serve", "serve needs --id N"),
            ("serve --id", "--id needs a value"),
            ("serve --id 0", "\"0\" is no node id"),
            ("serve --id one", "\"one\" is no node id"),
            ("serve --id 1 --id 1", "--id is given twice"),
            (
                "serve --id 1 --data d --raft a:1 --redis a:2",
                "serve needs --cluster ID=HOST:PORT,... or --join",
            ),
            (&format!("{SERVE} --join"), "--cluster and --join exclude each other"),
            ("serve --join --join", "--join is given twice"),
            ("serve --lease-reads --lease-reads", "--lease-reads is given twice"),
            ("serve --lease-reads=yes", "unexpected argument for option '--lease-reads'"),
            ("serve --snapshot-entries 0", "\"0\" is no number of entries"),
            ("serve --snapshot-entries -5", "\"-5\" is no number of entries"),
            ("serve --metrics 9100", "\"9100\" is no address"),
            ("serve --raft 7001", "\"7001\" is no address"),
            ("serve --redis a:70000", "\"a:70000\" is no address"),
            ("serve --cluster 1:a:1", "\"1:a:1\" in --cluster is no member"),
            ("serve --cluster 1=a:1,", "\"\" in --cluster is no member"),
            ("serve --cluster 0=a:1", "\"0\" is no node id"),
            ("serve --cluster 1=a", "\"a\" is no address"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.starts_with(reason), "{line}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}
