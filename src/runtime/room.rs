//! Whether the disk has room, as two threads see it: the log writer, whose writes are refused, and the upkeep, which finds
//! no space to prepare.

use crossbeam_channel::Sender;

use crate::replica::Event;
use crate::sync::Mutex;

/// Who finds out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finder {
    LogWriter,
    Upkeep,
}

/// The disk counts as full while either says so. The engine is told when that changes, in the order in which it does.
#[derive(Debug)]
pub(super) struct Room {
    full: Mutex<[bool; 2]>,
    completions: Sender<Event>,
}

impl Room {
    pub(super) fn new(completions: Sender<Event>) -> Self {
        Self { full: Mutex::new([false; 2]), completions }
    }

    /// What one of them found.
    pub(super) fn report(&self, finder: Finder, is_full: bool) {
        let mut full = self.full.lock();
        let before = full.contains(&true);
        full[finder as usize] = is_full;
        let now = full.contains(&true);
        if now != before {
            // Sent under the lock: the last word the engine hears is the last that was found.
            let _ = self.completions.send(Event::DiskFull(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::channels;

    #[test]
    fn the_disk_is_full_while_either_says_so() {
        let (to_engine, inputs) = channels::to_engine();
        let room = Room::new(to_engine.completions);

        room.report(Finder::Upkeep, true);
        room.report(Finder::LogWriter, true);
        room.report(Finder::Upkeep, false);
        room.report(Finder::Upkeep, false);
        room.report(Finder::LogWriter, false);

        let told: Vec<_> = inputs.completions.try_iter().collect();
        assert!(matches!(told[..], [Event::DiskFull(true), Event::DiskFull(false)]), "{told:?}");
    }
}
