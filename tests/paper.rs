//! The Raft paper (Ongaro and Ousterhout 2014) and the thesis behind it, sentence by sentence: each test states one,
//! sets its scene, and checks the fact. Sections are the paper's unless the thesis is named.
//!
//! Every log begins with the founding entry at index 1, term 0; so the paper's entry 1 stands at index 2 here.

#[path = "paper/cluster.rs"]
mod cluster;
#[path = "paper/fixture.rs"]
mod fixture;

#[path = "paper/check_quorum.rs"]
mod check_quorum;
#[path = "paper/commit.rs"]
mod commit;
#[path = "paper/compaction.rs"]
mod compaction;
#[path = "paper/conflicts.rs"]
mod conflicts;
#[path = "paper/durability.rs"]
mod durability;
#[path = "paper/elections.rs"]
mod elections;
#[path = "paper/figure_8.rs"]
mod figure_8;
#[path = "paper/flow_control.rs"]
mod flow_control;
#[path = "paper/hostile_peers.rs"]
mod hostile_peers;
#[path = "paper/joint.rs"]
mod joint;
#[path = "paper/leases.rs"]
mod leases;
#[path = "paper/membership.rs"]
mod membership;
#[path = "paper/pre_vote.rs"]
mod pre_vote;
#[path = "paper/reads.rs"]
mod reads;
#[path = "paper/removal.rs"]
mod removal;
#[path = "paper/replication.rs"]
mod replication;
#[path = "paper/restarts.rs"]
mod restarts;
#[path = "paper/snapshots.rs"]
mod snapshots;
#[path = "paper/terms.rs"]
mod terms;
#[path = "paper/transfer.rs"]
mod transfer;
