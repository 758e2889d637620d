//! Model.

#[path = "model/actions.rs"]
mod actions;
#[path = "model/configurations.rs"]
mod configurations;
#[path = "model/disk.rs"]
mod disk;
#[path = "model/explorer.rs"]
mod explorer;
#[path = "model/history.rs"]
mod history;
#[path = "model/host.rs"]
mod host;
#[path = "model/laws.rs"]
mod laws;
#[path = "model/mutants.rs"]
mod mutants;
#[path = "model/network.rs"]
mod network;
#[path = "model/shared.rs"]
mod shared;
#[path = "model/sights.rs"]
mod sights;
#[path = "model/world.rs"]
mod world;

use self::configurations::by_name;
use self::explorer::search;
use self::laws::Laws;

#[test]
fn try_it() {
    for name in std::env::var("QUORATE_MODEL").unwrap().split(',') {
        let began = std::time::Instant::now();
        let found = search(&by_name(name).unwrap(), Laws::ALL);
        println!("{name}: {found:?} {:?}", began.elapsed());
    }
}
