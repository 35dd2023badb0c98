//! An agent with its faults, its journals and its reaper in one thread, under virtual time and a seed: the agent is killed, frozen
//! or loses its machine at any moment of a fault's life, its reaper may die with it, commands outlive who began them, undos fail,
//! and disks are full in the middle of a line. Keeper, journal, healing and the reaper's watch are the real ones, on real files
//! with real locks; programs, the node that they change, and death are played by [`world`].
//!
//! What must hold: nothing is in force that is not on disk, no fault outlives its task's time or, once its agent is dead or silent,
//! the lease, and in the end nothing is in force and no journal is left. `TROGDOR_SEED=N TROGDOR_SEEDS=1` replays a seed.

pub(crate) mod time;
mod world;

use std::cell::Cell;
use std::io;

use world::World;

/// Mistakes, to see that the simulation finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A step is applied that is not in the journal.
    StepIsNotWritten,
    /// An agent that wakes does not see that its fault was healed.
    WakesUnaware,
    /// A reaper waits for the end of the agent only.
    DeafReaper,
    /// The unfinished end of a journal counts as damage.
    TornIsDamage,
    /// The beginning of a line that could not be written stays, and the next one is written behind it.
    LeavesTornLines,
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    static ROOM: Cell<Option<usize>> = const { Cell::new(None) };
}

pub(crate) fn is_planted(mistake: Planted) -> bool {
    PLANTED.get() == Some(mistake)
}

/// How much of the next line of a journal still fits on the disk, if not all of it does.
pub(crate) fn room_for(line: usize) -> Option<usize> {
    ROOM.take().map(|room| room % line)
}

/// Runs one seed to its end; gives a number that stands for all that happened, or what must not have.
fn run(seed: u64) -> Result<u64, String> {
    ROOM.set(None);
    let world = World::new(seed).and_then(World::run);
    time::stop();
    let (outcome, lines) = world.map_err(|error: io::Error| format!("seed {seed}: {error}"))?;
    outcome.map_err(|broken| format!("seed {seed}: {broken}\n{lines}"))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Seeds on all processors; the first that fails by number, and why.
fn first_failure(seeds: std::ops::Range<u64>, planted: Option<Planted>) -> Option<(u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let run_some = |offset: usize| {
            let seeds = seeds.clone();
            scope.spawn(move || {
                PLANTED.set(planted);
                seeds.skip(offset).step_by(threads).find_map(|seed| Some((seed, run(seed).err()?)))
            })
        };
        let running: Vec<_> = (0..threads).map(run_some).collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap()).min()
    })
}

/// Runs a test in a process of its own: this one if it is for this test alone, or one that is started. A lock on a file lives in each process that is
/// forked until that becomes another program, so beside tests that start programs it would outlive the agent that held it.
fn alone(test: &str, check: impl FnOnce()) {
    const ALONE: &str = "TROGDOR_SIMULATION_IS_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return check();
    }
    let name = format!("simulation::{test}");
    let itself = std::env::current_exe().unwrap();
    let run =
        std::process::Command::new(itself).args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output();
    let run = run.unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}{err}");
    assert!(out.contains("1 passed"), "no test is named {name}: {out}");
}

/// `TROGDOR_SEEDS` seeds (10,000 unless told otherwise) from `TROGDOR_SEED` (0) on.
#[test]
fn no_fault_outlives_its_task_or_its_agent_for_longer_than_the_lease() {
    alone("no_fault_outlives_its_task_or_its_agent_for_longer_than_the_lease", || {
        let first = number("TROGDOR_SEED", 0);
        let failure = first_failure(first..first + number("TROGDOR_SEEDS", 10_000), None);
        assert!(failure.is_none(), "{}", failure.unwrap().1);
    });
}

#[test]
fn planted_mistakes_are_found_within_1000_seeds() {
    alone("planted_mistakes_are_found_within_1000_seeds", || {
        let all = [
            Planted::StepIsNotWritten,
            Planted::WakesUnaware,
            Planted::DeafReaper,
            Planted::TornIsDamage,
            Planted::LeavesTornLines,
        ];
        for planted in all {
            let failure = first_failure(0..1_000, Some(planted));
            let (seed, why) = failure.unwrap_or_else(|| panic!("{planted:?} was not found"));
            // And again in the same way.
            PLANTED.set(Some(planted));
            assert_eq!(run(seed).unwrap_err(), why);
            PLANTED.set(None);
        }
    });
}

#[test]
fn a_seed_happens_the_same_way_again() {
    alone("a_seed_happens_the_same_way_again", || {
        for seed in 0..50 {
            assert_eq!(run(seed), run(seed), "seed {seed}");
        }
        assert_ne!(run(1), run(2));
    });
}
