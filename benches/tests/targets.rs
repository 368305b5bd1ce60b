//! The fuzz targets over their seeds and over mutations of these, the same on each run.

use std::path::{Path, PathBuf};

use offhook_benches::targets::{ALL, Target};
use offhook_units::Entropy;

/// For each target: a few seconds for all of them without optimisation.
const MUTATIONS: usize = 4_000;

/// Bytes that mean something in one of the grammars.
const TELLING: &[u8] = b"\r\n :;,<>\"\\@?=%/*[]()\t\0\x80\xff\x7f09AZaz";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let listed = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

/// What a target begins with; where whole messages are read, the torture messages of RFC 4475 too.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds = files(&fixtures().join("fuzz").join(target.name));
    if ["message", "stream", "endpoint"].contains(&target.name) {
        let torture = files(&fixtures().join("rfc4475"));
        seeds.extend(torture.iter().map(|text| String::from_utf8_lossy(text).replace('\n', "\r\n").into_bytes()));
    }
    seeds
}

fn mutate(entropy: &mut Entropy, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |entropy: &mut Entropy, length: usize| entropy.below(length.max(1) as u64) as usize;
    let mut bytes = seeds[pick(entropy, seeds.len())].clone();
    for _ in 0..=entropy.below(6) {
        let at = pick(entropy, bytes.len()).min(bytes.len());
        let end = (at + pick(entropy, 24)).min(bytes.len());
        match entropy.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, TELLING[pick(entropy, TELLING.len())]),
            2 if at < bytes.len() => bytes[at] = entropy.next_u32() as u8,
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = &seeds[pick(entropy, seeds.len())];
                let from = pick(entropy, other.len());
                bytes.splice(at..at, other[from..(from + 40).min(other.len())].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn every_target_reads_its_seeds_and_four_thousand_mutations_of_them() {
    for target in ALL {
        let seeds = seeds(&target);
        assert!(!seeds.is_empty(), "{} has seeds", target.name);
        for seed in &seeds {
            (target.run)(seed);
        }
        let mut entropy = Entropy::from_number(6_228);
        for _ in 0..MUTATIONS {
            (target.run)(&mutate(&mut entropy, &seeds));
        }
    }
}

#[test]
fn every_target_has_its_libfuzzer_half_and_nothing_else_is_there() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    let mut listed: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\""))
        .filter(|name| *name != "config")
        .collect();
    listed.sort_unstable();
    let mut known: Vec<&str> = ALL.iter().map(|target| target.name).collect();
    known.sort_unstable();
    assert_eq!(listed, known);
}
