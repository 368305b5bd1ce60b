//! Repository law: what must be true of the tree whatever anybody changes. Each rule is a function from the repository to its
//! faults; `cargo xtask law` prints them and `cargo test -p offhook-xtask` fails by them.

mod crates;
mod docs;
mod licences;
mod sources;

pub use docs::commands_in;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository as the rules see it: its files, tracked or about to be.
#[derive(Debug)]
pub struct Repo {
    /// The workspace's folder.
    pub root: PathBuf,
    /// Every text file that git tracks or would track, by its path below the root, in order.
    pub files: Vec<(String, String)>,
}

/// One rule and its sentence.
pub struct Rule {
    /// What holds, as a sentence.
    pub sentence: &'static str,
    /// Lists what breaks it.
    pub faults: fn(&Repo) -> Vec<String>,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule { sentence: "crates depend only as the table of docs/ARCHITECTURE.md draws it", faults: crates::dependencies },
    Rule {
        sentence: "every crate of the workspace stands in the table and takes the workspace's lints",
        faults: crates::manifests,
    },
    Rule { sentence: "rings 0 and 1 do not opt out of the clocks and locks list", faults: crates::opt_outs },
    Rule { sentence: "every Rust file begins by saying what it is for", faults: sources::headers },
    Rule { sentence: "no Rust file is longer than 700 lines, no function longer than 150", faults: sources::sizes },
    Rule { sentence: "nothing on main is unfinished or switched off", faults: sources::unfinished },
    Rule { sentence: "every unsafe block argues its safety", faults: sources::unsafe_argued },
    Rule { sentence: "no path of one machine and no other registry is in the tree", faults: sources::machine_paths },
    Rule { sentence: "the top level holds only what belongs there", faults: docs::top_level },
    Rule { sentence: "every command in README.md exists", faults: docs::commands },
    Rule { sentence: "every relative link in the documents leads somewhere", faults: docs::links },
    Rule { sentence: "no plan or status file is kept", faults: docs::no_plans },
    Rule { sentence: "every linked crate's licence may be linked", faults: licences::allowed },
];

impl Repo {
    /// Reads the repository that this program was built in.
    pub fn open() -> Result<Self> {
        let root = crate::root();
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(&root)
            .output()
            .context("git ls-files: is git installed?")?;
        if !listed.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
        }
        let mut files = Vec::new();
        for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|n| !n.is_empty()) {
            // A file deleted in the working tree is still listed; a binary one is of no interest to the rules.
            if let Ok(text) = std::fs::read_to_string(root.join(name)) {
                files.push((name.to_owned(), text));
            }
        }
        files.sort();
        Ok(Self { root, files })
    }

    /// The text of one file.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
    }

    /// Files whose name ends so.
    pub fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().filter(move |(n, _)| n.ends_with(end)).map(|(n, t)| (n.as_str(), t.as_str()))
    }

    /// Rust files that people wrote.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".rs")
    }

    /// Whether a path below the root exists, as a file or a folder with files.
    pub fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('/');
        Path::new(&self.root).join(name).exists()
    }
}

/// `cargo xtask law`: prints each rule, its faults, and long functions as a look-out; true where all rules hold.
pub fn run() -> Result<bool> {
    let repo = Repo::open()?;
    let (mut passed, mut failed) = (0, 0);
    for rule in RULES {
        let faults = (rule.faults)(&repo);
        if faults.is_empty() {
            passed += 1;
            println!("ok      {}", rule.sentence);
        } else {
            failed += 1;
            println!("BROKEN  {}", rule.sentence);
            for fault in &faults {
                println!("          {fault}");
            }
        }
    }
    let long = sources::long_functions(&repo, sources::FUNCTION_LINES_LOOKOUT);
    if !long.is_empty() {
        println!("look    {} functions are longer than {} lines", long.len(), sources::FUNCTION_LINES_LOOKOUT);
        for place in &long {
            println!("          {place}");
        }
    }
    println!("{}", crate::steps::summary(passed, failed));
    Ok(failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(sentence: &str) {
        let rule = RULES.iter().find(|r| r.sentence == sentence).expect("a rule with this sentence");
        let faults = (rule.faults)(&Repo::open().expect("the repository can be read"));
        assert!(faults.is_empty(), "{sentence}:\n  {}", faults.join("\n  "));
    }

    macro_rules! laws {
        ($($name:ident: $sentence:literal;)*) => {
            $(#[test] fn $name() { holds($sentence); })*
            #[test]
            fn every_rule_has_its_test() {
                let tested = [$($sentence),*];
                for rule in RULES { assert!(tested.contains(&rule.sentence), "no test holds: {}", rule.sentence); }
            }
        };
    }

    laws! {
        crates_depend_only_as_the_table_draws_it: "crates depend only as the table of docs/ARCHITECTURE.md draws it";
        every_crate_stands_in_the_table: "every crate of the workspace stands in the table and takes the workspace's lints";
        rings_0_and_1_do_not_opt_out: "rings 0 and 1 do not opt out of the clocks and locks list";
        every_rust_file_begins_by_saying_what_it_is_for: "every Rust file begins by saying what it is for";
        no_file_or_function_is_too_long: "no Rust file is longer than 700 lines, no function longer than 150";
        nothing_on_main_is_unfinished: "nothing on main is unfinished or switched off";
        every_unsafe_block_argues_its_safety: "every unsafe block argues its safety";
        no_path_of_one_machine_is_in_the_tree: "no path of one machine and no other registry is in the tree";
        the_top_level_holds_only_what_belongs_there: "the top level holds only what belongs there";
        every_command_in_the_readme_exists: "every command in README.md exists";
        every_relative_link_leads_somewhere: "every relative link in the documents leads somewhere";
        no_plan_or_status_file_is_kept: "no plan or status file is kept";
        every_linked_licence_may_be_linked: "every linked crate's licence may be linked";
    }
}
