//! What a node says about itself: RAFT STATUS, and INFO with the same facts and some more.

use std::fmt::Write;

use quorate::Status;
use serde_json::{Value, json};

/// The reply to RAFT STATUS.
pub(crate) fn status(status: &Status) -> Value {
    let peers: Vec<_> = status
        .peers
        .iter()
        .map(|peer| {
            json!({
                "id": peer.id,
                "addr": peer.address,
                "match": peer.matched,
                "state": peer.state.to_string(),
                "lag_bytes": peer.lag_bytes,
                "connected": peer.connected,
            })
        })
        .collect();
    json!({
        "id": status.id,
        "role": status.role.to_string(),
        "term": status.term,
        "leader": status.leader,
        "commit": status.commit,
        "applied": status.applied,
        "last_index": status.last_index,
        "first_index": status.first_index,
        "snapshot_index": status.snapshot_index,
        "voters": status.voters,
        "learners": status.learners,
        "joint": status.joint,
        "peers": peers,
    })
}

/// The reply to INFO: the sections asked for, all if none is named.
pub(crate) fn info(current: &Status, asked: &[String]) -> String {
    let is_asked = |section: &str| {
        let names = |name: &String| [section, "all", "everything", "default"].contains(&name.as_str());
        asked.is_empty() || asked.iter().any(names)
    };
    let mut sections = Vec::new();
    if is_asked("server") {
        let version = env!("CARGO_PKG_VERSION");
        let process = std::process::id();
        sections.push(format!(
            "# Server\r\nkv_version:{version}\r\nredis_mode:standalone\r\nprocess_id:{process}\r\n"
        ));
    }
    if is_asked("raft") {
        let mut section = raft_section(&status(current));
        for (name, fact) in [
            ("recognises_all", current.recognises_all),
            ("removed", current.removed),
            ("disk_full", current.disk_full),
        ] {
            let _ = write!(section, "raft_{name}:{fact}\r\n");
        }
        if let Some(cause) = &current.stopped {
            let _ = write!(section, "raft_stopped:{}\r\n", cause.to_string().replace(['\r', '\n'], " "));
        }
        sections.push(section);
    }
    sections.join("\r\n")
}

/// The facts of RAFT STATUS, one line each; peers one by one.
fn raft_section(status: &Value) -> String {
    let mut section = "# Raft\r\n".to_owned();
    for (name, fact) in status.as_object().into_iter().flatten() {
        if name != "peers" {
            let _ = write!(section, "raft_{name}:{}\r\n", plain(fact));
        }
    }
    for peer in status["peers"].as_array().into_iter().flatten() {
        let facts = ["addr", "match", "state", "lag_bytes", "connected"];
        let facts = facts.map(|name| format!("{name}={}", plain(&peer[name])));
        let _ = write!(section, "raft_peer_{}:{}\r\n", peer["id"], facts.join(","));
    }
    section
}

/// Strings without quotes, lists without brackets.
fn plain(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_has_the_facts_of_the_status_line_by_line() {
        let peer = json!({
            "id": 2, "addr": "b:2", "match": 7, "state": "replicate", "lag_bytes": 0, "connected": true
        });
        let status = json!({
            "role": "leader", "leader": null, "voters": [1, 2], "learners": [], "joint": false, "peers": [peer]
        });

        let expected = [
            "# Raft",
            "raft_joint:false",
            "raft_leader:null",
            "raft_learners:",
            "raft_role:leader",
            "raft_voters:1,2",
            "raft_peer_2:addr=b:2,match=7,state=replicate,lag_bytes=0,connected=true",
            "",
        ];
        assert_eq!(raft_section(&status), expected.join("\r\n"));
    }
}
