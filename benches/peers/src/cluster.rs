//! Three `etcd` processes on free loopback ports, and their end.
//!
//! They run with etcd's own defaults: every write is synced to the log before it is acknowledged, heartbeats go out each
//! 100 ms, elections start after 1 s. Each is put into a process group of its own, so that Ctrl-C in a terminal reaches
//! the benchmark alone, which then stops them in order.
//!
//! Ports are found by binding and letting go, so another program may take one in between: that `etcd` exits, and we say
//! so with the end of its log.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use rustix::fs::statfs;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::Result;

const LEADER_WITHIN: Duration = Duration::from_secs(30);
const STATUS_WITHIN: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 5;

/// File systems that keep nothing on a disk: tmpfs and ramfs, by the magic numbers of `statfs(2)`.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// The version of the installed `etcd`.
pub(crate) fn version() -> Result<String> {
    let output = Command::new("etcd").arg("--version").output().map_err(|error| not_started(&error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    Ok(version.ok_or("`etcd --version` names no version")?.trim().to_owned())
}

/// A running cluster. Dropping it stops the processes first, then removes their data: fields drop in this order.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    directory: TempDir,
}

/// Who leads, and since when.
pub(crate) struct Leader {
    /// Where its clients connect.
    pub(crate) url: String,
    /// Rises with each election.
    pub(crate) term: u64,
}

impl Cluster {
    /// Starts three empty nodes in a temporary directory, which must lie on a disk.
    pub(crate) fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("quorate-peers-").tempdir()?;
        if is_in_memory(directory.path())? {
            let place = directory.path().display();
            return Err(format!("{place} is memory, not a disk: set TMPDIR to a directory on a disk").into());
        }
        let addresses = free_addresses()?;
        let member =
            |(id, (_, peers)): (usize, &(SocketAddr, SocketAddr))| format!("{}=http://{peers}", name(id));
        let members = addresses.iter().enumerate().map(member).collect::<Vec<_>>().join(",");
        let mut cluster = Self { nodes: Vec::new(), directory };
        for (id, (clients, peers)) in addresses.into_iter().enumerate() {
            let node = Node::start(&name(id), clients, peers, &members, cluster.directory.path())?;
            cluster.nodes.push(node);
        }
        Ok(cluster)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits for a node that says it leads. Fails if one of them has exited.
    pub(crate) async fn leader(&mut self) -> Result<Leader> {
        let found = timeout(LEADER_WITHIN, async {
            loop {
                for node in &mut self.nodes {
                    node.check_alive()?;
                    if let Some(leader) = node.as_leader().await {
                        return Ok(leader);
                    }
                }
                sleep(ASK_AGAIN).await;
            }
        });
        found.await.map_err(|_| format!("no leader within {} s", LEADER_WITHIN.as_secs()))?
    }
}

/// One process. Dropping it kills it: its data is thrown away, so there is nothing to shut down with care.
struct Node {
    process: Child,
    url: String,
    log: PathBuf,
}

impl Node {
    fn start(
        name: &str,
        clients: SocketAddr,
        peers: SocketAddr,
        members: &str,
        directory: &Path,
    ) -> Result<Self> {
        let (url, peer_url) = (format!("http://{clients}"), format!("http://{peers}"));
        let log = directory.join(format!("{name}.log"));
        let log_file = File::create(&log)?;
        let mut command = Command::new("etcd");
        // etcd takes settings from its environment too: none but ours.
        for (variable, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("ETCD_"))
        {
            command.env_remove(variable);
        }
        command
            .args(["--name", name, "--initial-cluster", members, "--initial-cluster-state", "new"])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--logger", "zap", "--log-level", "warn", "--data-dir"])
            .arg(directory.join(name))
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .process_group(0);
        Ok(Self { process: command.spawn().map_err(|error| not_started(&error))?, url, log })
    }

    fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.process.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log)?;
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        Err(format!("an etcd ended, {status}:\n{end}").into())
    }

    /// `None` if it does not lead, or does not answer: it may still be starting.
    async fn as_leader(&self) -> Option<Leader> {
        let options = ConnectOptions::new().with_connect_timeout(STATUS_WITHIN).with_timeout(STATUS_WITHIN);
        let asked = timeout(STATUS_WITHIN, async {
            Client::connect([&self.url], Some(options)).await?.maintenance_client().status().await
        });
        let status = asked.await.ok()?.ok()?;
        let leads = status.leader() != 0 && status.header()?.member_id() == status.leader();
        leads.then(|| Leader { url: self.url.clone(), term: status.raft_term() })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // An error here means that it has ended and been waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn name(id: usize) -> String {
    format!("etcd{}", id + 1)
}

fn not_started(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "etcd is not installed: `apt-get install etcd-server` provides it".to_owned()
        }
        _ => format!("etcd does not start: {error}"),
    }
}

/// Three pairs, each for clients and for peers. All are held until the last is found, so that they differ.
fn free_addresses() -> io::Result<Vec<(SocketAddr, SocketAddr)>> {
    let socket = || TcpListener::bind("127.0.0.1:0");
    let held = (0..3).map(|_| Ok((socket()?, socket()?))).collect::<io::Result<Vec<_>>>()?;
    held.iter().map(|(clients, peers)| Ok((clients.local_addr()?, peers.local_addr()?))).collect()
}

fn is_in_memory(directory: &Path) -> io::Result<bool> {
    Ok(IN_MEMORY.contains(&statfs(directory)?.f_type))
}
