//! `cargo xtask fuzz`: the parsers' targets under libFuzzer, with the toolchain of the workspace and its versions of crates.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::apt;

/// The target that stands on the whole program, and takes as long to build.
const WHOLE: &str = "config";

/// What to fuzz.
#[derive(Debug, Args)]
pub struct Options {
    /// Only this target; all where none is named.
    target: Option<String>,
    /// Inputs for each target.
    #[arg(long, default_value_t = 10_000_000)]
    runs: u64,
}

/// Runs the chosen targets one after the other. What they find stands in `fuzz/artifacts` of the build's folder.
pub fn run(options: &Options) -> Result<bool> {
    apt::must_have_or("cargo-fuzz", "cargo install cargo-fuzz")?;
    let folder = crate::root().join("benches/fuzz");
    let targets = targets(&folder)?;
    if let Some(wanted) = &options.target {
        ensure!(targets.contains(wanted), "no target is called {wanted}: {}", targets.join(", "));
    }
    // The fuzzed parsers stand on the same versions as the exchange.
    std::fs::copy(crate::root().join("Cargo.lock"), folder.join("Cargo.lock")).context("copying Cargo.lock")?;
    let work = crate::target().join("fuzz");
    let chosen = targets.iter().filter(|name| options.target.as_ref().is_none_or(|wanted| wanted == *name));
    let mut failed = Vec::new();
    for name in chosen {
        if !run_one(&folder, &work, name, options.runs)? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(true);
    }
    eprintln!("found something: {}; see {}", failed.join(", "), work.join("artifacts").display());
    Ok(false)
}

/// The targets' names, as the manifest lists them.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
    let listed = manifest.get("bin").and_then(toml::Value::as_array).context("[[bin]] in benches/fuzz/Cargo.toml")?;
    Ok(listed.iter().filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned())).collect())
}

fn run_one(folder: &Path, work: &Path, name: &str, runs: u64) -> Result<bool> {
    let (corpus, artifacts) = (work.join("corpus").join(name), work.join("artifacts").join(name));
    for made in [&corpus, &artifacts] {
        std::fs::create_dir_all(made).with_context(|| made.display().to_string())?;
    }
    println!("{name}: {runs} runs");
    let mut command = Command::new("cargo-fuzz");
    // Instrumentation is a feature of nightly compilers that this one has too.
    command.current_dir(folder).env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", name, "--fuzz-dir", "."]);
    if name == WHOLE {
        command.args(["--features", "offhook"]);
    }
    command.args(["--sanitizer", "none", "--target-dir"]).arg(work).arg(&corpus);
    command.arg(crate::root().join("fixtures/fuzz").join(name));
    command.args(["--", &format!("-runs={runs}"), "-timeout=10", "-max_len=4096", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    match command.status().context("cargo-fuzz")?.code() {
        Some(code) => Ok(code == 0),
        None => bail!("interrupted"),
    }
}
