//! Replicas with their workers on one thread: every test decides what is delivered, written and applied, and when.

mod applying;
mod cluster;
mod flow;
mod forwarding;
mod handover;
mod log;
mod membership;
mod network;
mod newcomers;
mod peers;
mod proposals;
mod reading;
mod snapshots;
mod walk;

pub(crate) use cluster::instant;
pub(crate) use log::SharedLog;

use cluster::{
    Cluster, body, five_nodes, five_nodes_with, id, is_append, is_append_answer, one_node, three_nodes,
    three_nodes_with,
};
