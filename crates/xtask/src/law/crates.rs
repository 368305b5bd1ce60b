//! Who may depend on whom. The table stands once, in docs/ARCHITECTURE.md, and is read from there.

use std::collections::{BTreeMap, BTreeSet};

use super::Repo;

/// Crates of rings 0 and 1: no clock, socket, lock or random order.
const CORES: [&str; 9] = ["units", "plan", "rtp", "codec", "sip", "media", "acd", "call", "recorder"];

/// Modules of core crates that are edges by name (docs/ARCHITECTURE.md, "recorder").
const EDGE_MODULES: [&str; 1] = ["crates/recorder/src/writer"];

/// What each crate may depend on, by the table whose head is `| crate | ... | may depend on |`.
pub fn table(architecture: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = architecture
        .lines()
        .skip_while(|line| !(line.starts_with("| crate |") && line.ends_with("| may depend on |")))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
        let allowed = last.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect();
        table.insert(first.trim_matches('`').to_owned(), allowed);
    }
    table
}

fn manifests_of(repo: &Repo) -> impl Iterator<Item = (String, toml::Table)> {
    repo.ending("/Cargo.toml").filter_map(|(name, text)| {
        let folder = name.strip_suffix("/Cargo.toml")?;
        let short = folder.strip_prefix("crates/").unwrap_or(folder);
        Some((short.to_owned(), text.parse().ok()?))
    })
}

/// Names of the `offhook-*` crates in one table of dependencies.
fn ours(manifest: &toml::Table, kind: &str) -> Vec<String> {
    let listed = manifest.get(kind).and_then(toml::Value::as_table);
    listed
        .into_iter()
        .flat_map(toml::Table::keys)
        .filter_map(|k| k.strip_prefix("offhook-"))
        .map(str::to_owned)
        .collect()
}

/// An arrow that the table does not draw.
pub fn dependencies(repo: &Repo) -> Vec<String> {
    let table = table(repo.text("docs/ARCHITECTURE.md").unwrap_or_default());
    let mut faults = Vec::new();
    for (name, manifest) in manifests_of(repo) {
        let Some(allowed) = table.get(&name) else { continue };
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for used in ours(&manifest, kind) {
                if !allowed.contains("all") && !allowed.contains(&used) {
                    faults.push(format!("{name} -> {used} ({kind}) is not in the table"));
                }
            }
        }
    }
    faults
}

/// A crate that the table does not know or that takes no lints.
pub fn manifests(repo: &Repo) -> Vec<String> {
    let table = table(repo.text("docs/ARCHITECTURE.md").unwrap_or_default());
    let mut faults = Vec::new();
    if table.len() < 10 {
        faults.push(format!("docs/ARCHITECTURE.md: its table of crates has {} rows", table.len()));
    }
    for (name, manifest) in manifests_of(repo) {
        if !table.contains_key(&name) {
            faults.push(format!("{name} is not in the table of docs/ARCHITECTURE.md"));
        }
        let inherits = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            faults.push(format!("{name}: Cargo.toml lacks `[lints] workspace = true`"));
        }
    }
    for name in table.keys() {
        if !repo.has(&format!("crates/{name}/Cargo.toml")) && !repo.has(&format!("{name}/Cargo.toml")) {
            faults.push(format!("docs/ARCHITECTURE.md names the crate {name}, which does not exist"));
        }
    }
    faults
}

/// A core that switches off the list of clippy.toml.
pub fn opt_outs(repo: &Repo) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, text) in repo.rust() {
        let core = CORES.iter().any(|core| name.starts_with(&format!("crates/{core}/src/")));
        if !core || EDGE_MODULES.iter().any(|edge| name.starts_with(edge)) {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            if line.contains(concat!("clippy::dis", "allowed")) {
                faults.push(format!("{name}:{}: a core is given time and chance, it does not opt out", at + 1));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_read_from_markdown() {
        let text = "x\n| crate | what | may depend on |\n|---|---|---|\n| `a` | words | - |\n| `b` | more | `a`, c |\n\n| no | t | it |\n";
        let table = super::table(text);
        assert_eq!(table.len(), 2);
        assert!(table["b"].contains("a") && table["b"].contains("c") && !table["a"].contains("b"));
    }
}
