//! `cargo xtask compare BASE [HEAD]`: what the hot parts of two versions take in instructions, counted by callgrind, which depend
//! neither on the machine nor on what else it does.
//!
//! Each version is checked out into a folder of its own and built as a release. A version that has no parts of its own to be counted
//! is given those of the other; where these do not compile there, that is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::apt;
use crate::children::{self, Running};

/// What counts instructions.
const VALGRIND: [apt::Package; 1] = [apt::package("valgrind", "counts instructions")];
/// Within so long a version is built, on a slow machine without anything built before.
const BUILT_WITHIN: Duration = Duration::from_hours(2);
/// Within so long one part is counted; callgrind takes some fifty times as long as the part.
const COUNTED_WITHIN: Duration = Duration::from_mins(20);
/// What changes by less, in percent, changes by where things lie in memory: it is shown and not marked.
const MARKED_PCT: f64 = 1.0;
/// The program that runs a part, and the function in it that is counted.
const PROGRAM: &str = "parts";
const COUNTED: &str = "--toggle-collect=*counted_turn*";

/// What is compared.
#[derive(Debug, Args)]
pub struct Options {
    /// The version before: a commit, a branch or a tag.
    base: String,
    /// The version after; without it, the folder as it is.
    head: Option<String>,
    /// Only parts whose names hold this, such as `srtp`.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Fail where a part takes so much more, in percent.
    #[arg(long, value_name = "PERCENT")]
    fail_above: Option<f64>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// A hot part, as the program names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    unit: String,
    /// Units that are counted in all.
    units: u64,
}

/// One version.
struct Version {
    /// What it was called.
    name: String,
    /// The program that runs its parts.
    program: PathBuf,
    parts: Vec<Part>,
}

/// What a part took: instructions a unit, before and after; none where a version has no such part.
struct Row {
    part: Part,
    before: Option<f64>,
    after: Option<f64>,
}

impl Row {
    fn change_pct(&self) -> Option<f64> {
        let (before, after) = self.before.zip(self.after)?;
        (before > 0.0).then(|| 100.0 * (after - before) / before)
    }
}

/// Builds, counts and shows.
pub fn run(options: &Options) -> Result<bool> {
    children::catch_interrupts()?;
    apt::install(&VALGRIND)?;
    let folder = crate::target().join("compare");
    std::fs::create_dir_all(&folder)?;
    let head = match &options.head {
        Some(commit) => build_commit(&folder, commit, None)?,
        None => build("the folder as it is", &crate::root(), &folder, "here")?,
    };
    let base = build_commit(&folder, &options.base, Some(&crate::root()))?;
    let wanted = |part: &&Part| options.only.as_ref().is_none_or(|text| part.name.contains(text.as_str()));
    let parts: Vec<&Part> = head.parts.iter().filter(wanted).collect();
    ensure!(!parts.is_empty(), "no part has `{}` in its name", options.only.as_deref().unwrap_or_default());
    let mut rows = Vec::new();
    for part in parts {
        let of = |version: &Version| -> Result<Option<f64>> {
            let own = version.parts.iter().find(|own| own.name == part.name);
            own.map(|own| count(version, own, &folder)).transpose()
        };
        let row = Row { part: part.clone(), before: of(&base)?, after: of(&head)? };
        if !options.json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    if options.json {
        println!("{}", json(&base.name, &head.name, &rows));
    } else {
        println!("\n{}", table(&base.name, &head.name, &rows));
    }
    let above = |row: &&Row| options.fail_above.is_some_and(|limit| row.change_pct().is_some_and(|pct| pct > limit));
    let worse: Vec<&Row> = rows.iter().filter(above).collect();
    for row in &worse {
        eprintln!("{} takes {:+.2} %", row.part.name, row.change_pct().unwrap_or(0.0));
    }
    Ok(worse.is_empty())
}

fn git(words: &[&str]) -> Result<String> {
    let out = Command::new("git").args(words).current_dir(crate::root()).output().context("running git")?;
    ensure!(out.status.success(), "git {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// A commit's own folder, which goes away again.
struct Checkout(PathBuf);

impl Checkout {
    fn new(path: PathBuf, commit: &str) -> Result<Self> {
        let text = path.to_str().context("a path in UTF-8")?.to_owned();
        if path.exists() {
            git(&["worktree", "remove", "--force", &text])?;
        }
        git(&["worktree", "add", "--detach", "--force", &text, commit])?;
        Ok(Self(path))
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let path = self.0.to_string_lossy().into_owned();
        if let Err(error) = git(&["worktree", "remove", "--force", &path]) {
            eprintln!("{error:#}");
        }
    }
}

/// Builds the parts of a commit; where it has none, with the parts that lie in `lent`.
fn build_commit(folder: &Path, commit: &str, lent: Option<&Path>) -> Result<Version> {
    let sha = git(&["rev-parse", "--verify", &format!("{commit}^{{commit}}")])?;
    let short = sha.get(..10).unwrap_or(&sha).to_owned();
    let checkout = Checkout::new(folder.join(format!("tree-{short}")), &sha)?;
    let own = checkout.0.join("benches/src/bin/parts.rs");
    if !own.is_file() {
        let Some(lent) = lent.filter(|lent| lent.join("benches/src/bin/parts.rs").is_file()) else {
            bail!("{commit} has no parts to be counted");
        };
        eprintln!("{commit} has no parts to be counted: it is given those of the version that it is compared with");
        std::fs::remove_dir_all(checkout.0.join("benches"))?;
        copy(&lent.join("benches"), &checkout.0.join("benches"))?;
    }
    build(commit, &checkout.0, folder, &short)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                copy(&entry.path(), &target)?;
            }
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Builds the parts in `tree` and keeps the program beside those of other versions.
fn build(name: &str, tree: &Path, folder: &Path, short: &str) -> Result<Version> {
    eprintln!("building {name} ..");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--package", "offhook-benches", "--bin", PROGRAM]).current_dir(tree);
    command.env("CARGO_TARGET_DIR", crate::target());
    let log = folder.join(format!("build-{short}.log"));
    let mut running = Running::start("the build", &mut command, &log)?;
    let status = running.wait(BUILT_WITHIN)?;
    ensure!(status.success(), "{name} does not build:\n{}", children::tail(&log, 30));
    let program = folder.join(format!("{PROGRAM}-{short}"));
    std::fs::copy(crate::target().join("release").join(PROGRAM), &program)?;
    let told = Command::new(&program).output().with_context(|| program.display().to_string())?;
    let parts = read_parts(&String::from_utf8_lossy(&told.stdout));
    ensure!(!parts.is_empty(), "{} names no parts", program.display());
    Ok(Version { name: name.to_owned(), program, parts })
}

/// Name, unit, units of a turn and turns, by tabs.
fn read_parts(told: &str) -> Vec<Part> {
    let read = |line: &str| {
        let mut fields = line.split('\t');
        let (name, unit) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let (each, turns): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Part { name, unit, units: each * turns })
    };
    told.lines().filter_map(read).collect()
}

/// Instructions of a unit.
fn count(version: &Version, part: &Part, folder: &Path) -> Result<f64> {
    let (out, log) = (folder.join("callgrind.out"), folder.join("callgrind.log"));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", COUNTED]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(&version.program).arg(&part.name);
    let mut running = Running::start("valgrind", &mut command, &log)?;
    let status = running.wait(COUNTED_WITHIN)?;
    ensure!(status.success(), "{} of {}: {status}\n{}", part.name, version.name, children::tail(&log, 20));
    let text = std::fs::read_to_string(&out).with_context(|| out.display().to_string())?;
    let all = read_summary(&text).with_context(|| format!("{} has no summary", out.display()))?;
    ensure!(all > 0, "nothing of {} was counted in {}: is `counted_turn` in the program?", part.name, version.name);
    Ok(all as f64 / part.units.max(1) as f64)
}

/// The instructions of a whole run in what callgrind writes.
fn read_summary(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn line(row: &Row) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), grouped);
    let change = row.change_pct().map_or_else(|| "-".to_owned(), |pct| format!("{pct:+.2} %"));
    let mark = match row.change_pct() {
        Some(pct) if pct >= MARKED_PCT => " more",
        Some(pct) if pct <= -MARKED_PCT => " less",
        Some(_) | None => "",
    };
    let Row { part, before, after } = row;
    format!("| {} | {} | {} | {} | {change}{mark} |", part.name, part.unit, number(*before), number(*after))
}

fn table(base: &str, head: &str, rows: &[Row]) -> String {
    let mut out = format!("| part | a | {base} | {head} | change |\n|---|---|---|---|---|\n");
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", line(row));
    }
    out
}

fn json(base: &str, head: &str, rows: &[Row]) -> serde_json::Value {
    let parts: BTreeMap<&str, serde_json::Value> = rows
        .iter()
        .map(|row| {
            let value = serde_json::json!({
                "unit": row.part.unit, "before": row.before, "after": row.after, "change_pct": row.change_pct(),
            });
            (&*row.part.name, value)
        })
        .collect();
    serde_json::json!({ "base": base, "head": head, "instructions": parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(before: Option<f64>, after: Option<f64>) -> Row {
        let part = Part { name: "sip: read".into(), unit: "message".into(), units: 100 };
        Row { part, before, after }
    }

    #[test]
    fn parts_are_read_with_all_their_units_and_what_is_no_part_is_passed_over() {
        let told = "sip: read\tmessage\t1\t500\nnoise\nmedia: relay\tpacket\t2\t500\n";
        let parts = read_parts(told);
        assert_eq!(parts.iter().map(|part| part.units).collect::<Vec<_>>(), [500, 1_000]);
        assert_eq!(read_summary("events: Ir\nfn=(1) x\n+3 5\n\nsummary: 123456\n"), Some(123_456));
        assert_eq!(read_summary("events: Ir\n"), None);
    }

    #[test]
    fn a_change_of_one_percent_is_marked_and_a_part_that_is_new_has_none() {
        assert!(line(&row(Some(100_000.0), Some(102_000.0))).contains("| 100,000 | 102,000 | +2.00 % more |"));
        assert!(line(&row(Some(1_000.0), Some(990.0))).ends_with("-1.00 % less |"));
        assert!(line(&row(Some(1_000.0), Some(1_009.0))).ends_with("+0.90 % |"));
        assert!(line(&row(None, Some(7.0))).ends_with("| - | 7 | - |"));
        let object = json("a", "b", &[row(Some(200.0), Some(100.0))]);
        assert_eq!(object["instructions"]["sip: read"]["change_pct"], -50.0);
    }
}
