//! The hot parts, each as a closure that does it once: to be counted in instructions, which are the same on any machine and in any
//! mood of it (`cargo xtask compare`). They stand on what the benches of the same names stand on.
//!
//! What a part prepares for each turn is not counted: only what goes through [`counted_turn`] is.

mod media;
mod signalling;

use core::sync::atomic::{AtomicBool, Ordering};

/// A hot part.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its name: the crate that does most of it, and what is done.
    pub name: &'static str,
    /// Of what there are `units` in a turn.
    pub unit: &'static str,
    /// How many.
    pub units: u32,
    /// Turns that are counted; a tenth of them before to warm up, ten at least.
    pub turns: u32,
    /// Prepares it; each call of what it gives is a turn.
    pub begin: fn() -> Box<dyn FnMut()>,
}

/// All parts.
pub fn all() -> impl Iterator<Item = &'static Part> {
    signalling::PARTS.iter().chain(media::PARTS)
}

/// Whether turns count: not while a part warms up.
static COUNTS: AtomicBool = AtomicBool::new(false);

/// Does what is counted. It has a name of its own in the program, by which callgrind finds it.
#[inline(never)]
pub fn counted_turn(work: &mut dyn FnMut()) {
    work();
    // Nothing is left of a call that is the last thing done here: callgrind would not see the return.
    core::hint::black_box(());
}

/// Does `work` so that it is counted, unless this is to warm up.
fn count<R>(work: impl FnOnce() -> R) -> R {
    let (mut work, mut done) = (Some(work), None);
    let mut once = || done = work.take().map(|work| work());
    if COUNTS.load(Ordering::Relaxed) {
        counted_turn(&mut once);
    } else {
        once();
    }
    core::hint::black_box(done.expect("it was done once"))
}

impl Part {
    /// Warms up and then has all turns counted.
    pub fn run(&self) {
        let mut turn = (self.begin)();
        (0..(self.turns / 10).max(10)).for_each(|_| turn());
        COUNTS.store(true, Ordering::Relaxed);
        (0..self.turns).for_each(|_| turn());
        COUNTS.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_parts_has_a_name_of_its_own_and_does_two_turns() {
        let mut names = std::collections::BTreeSet::new();
        for part in all() {
            assert!(names.insert(part.name), "{} is there twice", part.name);
            assert!(part.units > 0 && part.turns >= 10 && !part.unit.contains('\t'), "{part:?}");
            let mut turn = (part.begin)();
            turn();
            turn();
        }
        assert!(names.len() >= 25, "{names:?}");
    }
}
