//! What `scripts/fuzz` runs for long, run for a moment: any bytes, and spoilt seeds.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use self::targets::{TARGETS, Target};

/// Cases for each target and kind: a second or two in all.
const CASES: u32 = 200;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

fn run(strategy: impl Strategy<Value = Vec<u8>>, target: Target) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |bytes| {
            target(&bytes);
            Ok(())
        })
        .unwrap();
}

/// A seed with some bytes replaced, put in or taken out.
fn spoilt(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3);
    (prop::sample::select(seeds), prop::collection::vec(change, 1..8)).prop_map(|(mut seed, changes)| {
        for (at, byte, kind) in changes {
            let at = at.index(seed.len() + 1);
            match kind {
                0 => seed.insert(at, byte),
                1 if at < seed.len() => seed[at] = byte,
                _ if at < seed.len() => drop(seed.remove(at)),
                _ => {}
            }
        }
        seed
    })
}

#[test]
fn every_target_has_seeds_and_every_folder_of_seeds_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut folders: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    folders.sort();
    names.sort();
    assert_eq!(folders, names);
}

#[test]
fn the_seeds_and_whatever_is_near_them_are_read_or_refused() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}");
        seeds.iter().for_each(|seed| target(seed));
        run(spoilt(seeds), *target);
    }
}

#[test]
fn any_bytes_and_any_text_are_read_or_refused() {
    for (_, target) in TARGETS {
        run(prop::collection::vec(any::<u8>(), 0..200), *target);
        run(".{0,100}".prop_map(String::into_bytes), *target);
    }
}
