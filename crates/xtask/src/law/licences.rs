//! Licences of everything that is linked in.

use std::process::Command;

use super::Repo;

/// Licences whose code may be linked into a program under MIT OR Apache-2.0.
const ALLOWED: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "MPL-2.0",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

/// Crates that name a licence file instead of an SPDX expression; read by people: both are MIT.
const READ_BY_PEOPLE: [&str; 2] = ["rsip", "rsip-derives"];

/// Crates under a licence that is not on the list, by `cargo metadata`.
pub fn allowed(repo: &Repo) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output =
        Command::new(cargo).args(["metadata", "--format-version", "1", "--locked"]).current_dir(&repo.root).output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => return vec![format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim())],
        Err(error) => return vec![format!("cargo metadata: {error}")],
    };
    let Ok(metadata) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        return vec!["cargo metadata prints no JSON".to_owned()];
    };
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter_map(|package| {
            let name = package["name"].as_str().unwrap_or_default();
            let licence = package["license"].as_str().unwrap_or_default();
            let fine = may_be_linked(licence) || (licence.is_empty() && READ_BY_PEOPLE.contains(&name));
            (!fine).then(|| format!("{name}: licence `{licence}`"))
        })
        .collect()
}

/// Whether an SPDX expression can be satisfied from the list. `/` is an old way to write OR; OR binds weaker than AND.
fn may_be_linked(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    !words.is_empty() && any_of(&words, &mut at) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut fine = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        fine |= all_of(words, at);
    }
    fine
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut fine = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        fine &= one(words, at);
    }
    fine
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let fine = any_of(words, at);
        *at += usize::from(words.get(*at) == Some(&")"));
        return fine;
    }
    if words.get(*at) == Some(&"WITH") {
        *at += 2; // an exception only adds permissions
    }
    ALLOWED.contains(word)
}

#[cfg(test)]
mod tests {
    use super::may_be_linked;

    #[test]
    fn an_expression_needs_one_allowed_way() {
        let rows = [
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("(MIT OR GPL-2.0) AND Unicode-3.0", true),
            ("MIT AND GPL-2.0", false),
            ("GPL-3.0-or-later", false),
            ("LGPL-2.1", false),
            ("", false),
        ];
        for (expression, expected) in rows {
            assert_eq!(may_be_linked(expression), expected, "{expression}");
        }
    }
}
