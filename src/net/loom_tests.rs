//! Every order in which the loop falls asleep and others bring it work. How such tests are run stands in [`crate::sync`].

use std::sync::Arc;

use loom::thread;

use super::waker::Sleep;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

/// What a poll waits for: as the kernel's event counter, a ring that nobody waits for yet is heard later.
#[derive(Default)]
struct Bell {
    rings: Mutex<usize>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rings.lock() += 1;
        self.rung.notify_one();
    }

    fn wait(&self) {
        let mut rings = self.rings.lock();
        while *rings == 0 {
            self.rung.wait(&mut rings);
        }
        *rings = 0;
    }
}

#[derive(Default)]
struct Scene {
    sleep: Sleep,
    bell: Bell,
    /// Relaxed throughout: only the fences of [`Sleep`] order it.
    work: AtomicUsize,
    rings: AtomicUsize,
}

impl Scene {
    fn bring(&self) {
        self.work.fetch_add(1, Ordering::Relaxed);
        if self.sleep.is_for_us_to_end() {
            self.rings.fetch_add(1, Ordering::Relaxed);
            self.bell.ring();
        }
    }

    /// Takes work until `all` is done; how often it fell asleep.
    fn work_off(&self, all: usize) -> usize {
        let (mut done, mut sleeps) = (0, 0);
        loop {
            done += self.work.swap(0, Ordering::Relaxed);
            if done == all {
                return sleeps;
            }
            self.sleep.begin();
            sleeps += 1;
            if self.work.load(Ordering::Relaxed) == 0 {
                self.bell.wait();
            }
            self.sleep.end();
        }
    }
}

/// At most three times a thread is interrupted where it need not wait: all orders would take minutes.
fn model(scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(scene);
}

#[test]
fn loom_work_brought_at_any_moment_is_never_slept_over() {
    model(|| {
        let scene = Arc::new(Scene::default());
        let bringer = thread::spawn({
            let scene = Arc::clone(&scene);
            move || {
                scene.bring();
                scene.bring();
            }
        });

        let sleeps = scene.work_off(2);

        bringer.join().unwrap();
        assert!(scene.rings.load(Ordering::Relaxed) <= sleeps, "more than one ring in one sleep");
    });
}

#[test]
fn loom_two_who_bring_work_wake_the_loop_once_for_each_sleep() {
    model(|| {
        let scene = Arc::new(Scene::default());
        let bringers = [(); 2].map(|()| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.bring())
        });

        let sleeps = scene.work_off(2);

        bringers.into_iter().for_each(|bringer| bringer.join().unwrap());
        assert!(scene.rings.load(Ordering::Relaxed) <= sleeps, "more than one ring in one sleep");
    });
}
