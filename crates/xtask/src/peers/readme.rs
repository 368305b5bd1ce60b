//! What README promises of `offhook`, held against the program itself.

use std::process::Command;

use anyhow::{Result, ensure};

use super::Bench;
use crate::law::commands_in;

/// Each `offhook` command of README.md has a help text with each of its options, and each configuration file is sound.
pub fn run(bench: &Bench) -> Result<String> {
    let readme = std::fs::read_to_string(crate::root().join("README.md"))?;
    let commands: Vec<Vec<String>> =
        commands_in(&readme).into_iter().filter(|words| words[0].rsplit('/').next() == Some("offhook")).collect();
    ensure!(!commands.is_empty(), "README.md shows no offhook command");
    let (mut options, mut verbs) = (0, 0);
    for words in commands {
        let Some(verb) = words.get(1).filter(|v| !v.starts_with('-')) else { continue };
        let help = Command::new(&bench.offhook).args([verb, "--help"]).output()?;
        let text = String::from_utf8_lossy(&help.stdout);
        ensure!(help.status.success(), "offhook {verb} --help: {}", help.status);
        verbs += 1;
        for option in words.iter().filter_map(|w| w.strip_prefix("--")).map(|w| w.split('=').next().unwrap_or(w)) {
            ensure!(text.contains(&format!("--{option}")), "README.md: offhook {verb} has no --{option}");
            options += 1;
        }
    }
    let mut files = 0;
    for folder in ["config", "fixtures/peers"] {
        for entry in std::fs::read_dir(crate::root().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                let check = Command::new(&bench.offhook).arg("check").arg(&path).output()?;
                ensure!(
                    check.status.success(),
                    "offhook check {}:\n{}",
                    path.display(),
                    String::from_utf8_lossy(&check.stderr)
                );
                files += 1;
            }
        }
    }
    Ok(format!("{verbs} commands, {options} options, {files} configuration files"))
}
