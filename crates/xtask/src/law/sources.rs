//! Rules about Rust files and about what no file may contain.

use super::Repo;

/// The longest file, in lines.
const FILE_LINES_MAX: usize = 700;
/// The longest function, in lines.
const FUNCTION_LINES_MAX: usize = 150;
/// From here on a function is printed as a place to look for a seam.
pub const FUNCTION_LINES_LOOKOUT: usize = 70;

/// Words that say that something is not finished. Split, so that this file does not break its own rule.
const UNFINISHED: [&str; 12] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ig", "nore"),
    concat!("place", "holder"),
    concat!("for", " now"),
    concat!("hard-", "coded"),
    concat!("hard", "coded"),
    concat!("dum", "my"),
    concat!("assert!(tr", "ue)"),
];

/// Files whose first line is not a module comment.
pub fn headers(repo: &Repo) -> Vec<String> {
    repo.rust()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| format!("{name}: begins without `//!`"))
        .collect()
}

/// Files and functions beyond the bounds.
pub fn sizes(repo: &Repo) -> Vec<String> {
    let mut faults: Vec<String> = repo
        .rust()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    faults.extend(long_functions(repo, FUNCTION_LINES_MAX));
    faults
}

/// Functions longer than `limit` lines. Formatted source is expected: a function ends at the closing brace in the column of
/// its first line.
pub fn long_functions(repo: &Repo, limit: usize) -> Vec<String> {
    let mut long = Vec::new();
    for (name, text) in repo.rust() {
        let mut open: Option<(usize, usize, String)> = None;
        for (at, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if let Some(function) = function_name(line) {
                open = Some((at, indent, function.to_owned()));
            } else if line.trim_start().starts_with('}')
                && let Some((from, column, function)) = open.take_if(|(_, column, _)| *column == indent)
            {
                let _ = column;
                let lines = at - from + 1;
                if lines > limit {
                    long.push(format!("{name}:{}: `{function}` has {lines} lines", from + 1));
                }
            }
        }
    }
    long
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    for before in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        words = words.strip_prefix(before).unwrap_or(words);
    }
    let rest = words.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Words that say that something is left for later.
pub fn unfinished(repo: &Repo) -> Vec<String> {
    let mut faults = Vec::new();
    let written = repo.files.iter().filter(|(name, _)| {
        let own =
            ["rs", "toml", "sh", "py", "js", "html", "css", "xml"].iter().any(|e| name.ends_with(&format!(".{e}")));
        (own || name == ".ci/run") && !name.starts_with("fixtures/rfc4475")
    });
    for (name, text) in written {
        for (at, line) in text.lines().enumerate() {
            // In HTML, or where a script sets it.
            let attribute =
                line.contains(concat!("place", "holder=\"")) || line.contains(concat!("\"place", "holder\""));
            for word in UNFINISHED.iter().filter(|word| line.contains(**word) && !attribute) {
                faults.push(format!("{name}:{}: `{word}`", at + 1));
            }
        }
    }
    faults
}

/// `unsafe` without its argument in the lines before it.
pub fn unsafe_argued(repo: &Repo) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, text) in repo.rust().filter(|(name, _)| !name.starts_with("crates/xtask/src/law")) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let block = code.contains("unsafe {") || code.starts_with("unsafe impl");
            if !block || code.starts_with("//") {
                continue;
            }
            let before = lines[at.saturating_sub(8)..=at].iter();
            if !before.clone().any(|l| l.contains("SAFETY")) {
                faults.push(format!("{name}:{}: no SAFETY argument above", at + 1));
            }
        }
    }
    faults
}

/// Paths that exist on one machine only, and crates from elsewhere than crates.io.
pub fn machine_paths(repo: &Repo) -> Vec<String> {
    let mut foreign = vec![concat!("/ro", "ot/").to_owned(), concat!("/ho", "me/").to_owned()];
    foreign.push(repo.root.display().to_string());
    // The folder around it too, unless every machine has one of that name.
    let common = ["tmp", "opt", "srv", "var", "usr", "mnt", "data"];
    if let Some(parent) = repo.root.parent()
        && let Some(name) = parent.file_name()
        && !common.iter().any(|c| name == *c)
    {
        foreign.push(format!("{}/", parent.display()));
    }
    let mut faults = Vec::new();
    for (name, text) in &repo.files {
        for (at, line) in text.lines().enumerate() {
            for path in foreign.iter().filter(|path| begins_a_path(line, path)) {
                faults.push(format!("{name}:{}: `{path}` is a path of one machine", at + 1));
            }
            let lock = name == "Cargo.lock" && line.starts_with("source = ");
            if lock && !line.contains("registry+https://github.com/rust-lang/crates.io-index") {
                faults.push(format!("{name}:{}: {line}", at + 1));
            }
        }
        if name.starts_with(".cargo/") && (text.contains("[source") || text.contains("[registries")) {
            faults.push(format!("{name}: sets a registry"));
        }
    }
    faults
}

/// Whether `line` contains `path` as the beginning of an absolute path.
fn begins_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '~'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(text: &str) -> Repo {
        Repo { root: "/somewhere/deep/tree".into(), files: vec![("crates/x/src/lib.rs".into(), text.into())] }
    }

    #[test]
    fn a_function_of_five_lines_is_longer_than_four() {
        let text = "//! x\npub async fn long() {\n    if a {\n    }\n    b\n}\nfn short() {}\n";
        assert_eq!(long_functions(&repo(text), 4), ["crates/x/src/lib.rs:2: `long` has 5 lines"]);
        assert!(long_functions(&repo(text), 5).is_empty());
    }

    #[test]
    fn each_fault_names_its_line() {
        let text = concat!("//! x\n// TO", "DO later\nlet p = \"/somewhere/deep/data\";\nunsafe { x() }\n");
        assert_eq!(unfinished(&repo(text)).len(), 1);
        assert_eq!(machine_paths(&repo(text)), ["crates/x/src/lib.rs:3: `/somewhere/deep/` is a path of one machine"]);
        assert_eq!(unsafe_argued(&repo(text)), ["crates/x/src/lib.rs:4: no SAFETY argument above"]);
        assert_eq!(headers(&repo("fn x() {}")).len(), 1);
    }
}
