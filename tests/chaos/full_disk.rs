//! A node whose file system is full, while the others have room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::client::{Answer, Client};
use crate::stand::eventually;
use crate::world::{World, others, seed};

/// Room for four segments of the log and a little more: one that a killed process has left cut, one that is written, one in
/// reserve, and, once there is room again, the next reserve.
const DISK_BYTES: &str = "300m";
const VALUE_BYTES: usize = 4 << 20;

/// A file system in memory, of few bytes, until dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` if this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("the directory can be made");
        let options = format!("size={DISK_BYTES}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("create");
        for piece in [1 << 16, 4096, 1] {
            while file.write_all(&vec![1; piece]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("remove");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Moves the directory of a node that does not run to a small disk; `None` if there can be none.
fn move_to_small_disk(data: &Path) -> Option<SmallDisk> {
    let aside = data.with_extension("aside");
    fs::rename(data, &aside).expect("rename");
    let Some(disk) = SmallDisk::mount(data) else {
        fs::remove_dir(data).expect("it is empty");
        fs::rename(&aside, data).expect("rename");
        return None;
    };
    for file in fs::read_dir(&aside).expect("it is there") {
        let file = file.expect("it can be read");
        let copied = Command::new("cp").arg("-r").arg(file.path()).arg(data).status();
        assert!(copied.expect("there is cp").success());
    }
    Some(disk)
}

#[test]
fn a_leader_whose_disk_is_full_makes_way_and_goes_on_when_there_is_room() {
    let mut world = World::start(seed());
    let node = others(world.leader())[0];
    world.kill(&[node]);
    let Some(disk) = move_to_small_disk(&world.stand.data(node)) else {
        println!("no file system can be mounted here: tests/callers.rs fills a disk in memory");
        return world.finish();
    };
    world.start_dead();
    eventually("it leads", || {
        let leads = world.stand.status(node)?["role"] == "leader";
        let _ = leads || world.stand.ask(node, &format!("RAFT TRANSFER {node}")).is_ok();
        leads.then_some(())
    });

    disk.fill();
    let value = vec![b'v'; VALUE_BYTES];
    eventually("the disk of the leader is full", || {
        match Client::connect(world.stand.redis(node)).ok()?.call(&[b"SET", b"large", &value]).ok()? {
            Answer::Error(text) if text.starts_with("READONLY") => Some(()),
            _ => None,
        }
    });
    world.leader_among(&others(node));
    world.await_answers(100);

    disk.make_room();
    world.stand.insist(node, "SET room again");
    world.finish();
}
