//! Rules about the documents: what stands at the top level, what README promises, where links lead.

use std::collections::BTreeSet;

use super::Repo;

/// Everything that may stand at the top level; dot-files beside it.
const TOP_LEVEL: [&str; 14] = [
    "benches",
    "config",
    "crates",
    "docs",
    "fixtures",
    "Cargo.toml",
    "Cargo.lock",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// A name at the top level that does not belong there.
pub fn top_level(repo: &Repo) -> Vec<String> {
    let names: BTreeSet<&str> = repo.files.iter().map(|(name, _)| name.split('/').next().unwrap_or(name)).collect();
    let mut faults: Vec<String> = names
        .iter()
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(name))
        .map(|name| format!("{name} does not belong at the top level"))
        .collect();
    for needed in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock", "docs", ".ci"] {
        if !names.contains(needed) {
            faults.push(format!("{needed} is missing"));
        }
    }
    faults
}

/// The commands of a document: lines of its `sh` blocks, without comments and environment.
pub fn commands_in(markdown: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside && language == "sh";
        } else if inside {
            let words = line.split(" #").next().unwrap_or_default().split_whitespace();
            let words: Vec<String> =
                words.map(str::to_owned).skip_while(|w| w.contains('=') && !w.contains('/')).collect();
            if words.first().is_some_and(|w| !w.starts_with('#')) {
                commands.push(words);
            }
        }
    }
    commands
}

/// A command that a reader of README would type in vain. Options of `offhook` are held against the built program by
/// `cargo xtask peers readme`.
pub fn commands(repo: &Repo) -> Vec<String> {
    let aliases = repo.text(".cargo/config.toml").unwrap_or_default();
    let readme = repo.text("README.md").unwrap_or_default();
    let programs: Vec<(&str, &str)> = repo.rust().filter(|(n, _)| n.starts_with("crates/offhook/src/")).collect();
    let mut faults = Vec::new();
    let commands = commands_in(readme);
    if commands.is_empty() {
        faults.push("README.md shows no command".to_owned());
    }
    for words in commands {
        let line = words.join(" ");
        let program = words[0].rsplit('/').next().unwrap_or_default();
        let verb = words.get(1).map_or("", String::as_str);
        let known = match program {
            "cargo" if verb == "xtask" => crate::names_a_command(words.get(2).map_or("", String::as_str)),
            "cargo" => {
                matches!(verb, "build" | "test" | "run")
                    || aliases.lines().any(|l| l.starts_with(&format!("{verb} = ")))
            }
            "offhook" => {
                let variant =
                    format!("{}{}", verb[..1.min(verb.len())].to_uppercase(), verb.get(1..).unwrap_or_default());
                programs.iter().any(|(_, text)| {
                    text.lines().any(|l| l.trim_start().starts_with(&variant) && l.contains(['(', '{', ',']))
                })
            }
            "git" | "cd" | "curl" | "sudo" | "apt-get" => true,
            _ => false,
        };
        if !known {
            faults.push(format!("README.md: `{line}` is not a command of this repository"));
        }
    }
    faults
}

/// A relative link to nothing.
pub fn links(repo: &Repo) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, text) in repo.ending(".md") {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
            for part in path.split('/') {
                match part {
                    "." | "" => {}
                    ".." => {
                        parts.pop();
                    }
                    part => parts.push(part),
                }
            }
            if !repo.has(&parts.join("/")) {
                faults.push(format!("{name}: link to {target} leads nowhere"));
            }
        }
    }
    faults
}

/// A document that says what is planned instead of what is.
pub fn no_plans(repo: &Repo) -> Vec<String> {
    let words = ["plan", "status", "phase", "progress", "roadmap", "handover", "notes", "summary"];
    let documents = repo.ending(".md").map(|(name, _)| name);
    documents
        .filter(|name| {
            let file = name.rsplit('/').next().unwrap_or(name).to_lowercase();
            let stem = file.trim_end_matches(".md");
            words.contains(&stem)
        })
        .map(|name| format!("{name}: the documents describe the product, not the work on it"))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn commands_are_read_from_sh_blocks_only() {
        let text = "`cargo no`\n```sh\n# a comment\nSEEDS=9 cargo verify   # runs all\n./x/offhook check F\n```\n```toml\ncargo = 1\n```\n";
        let commands = super::commands_in(text);
        assert_eq!(commands, [vec!["cargo", "verify"], vec!["./x/offhook", "check", "F"]]);
    }
}
