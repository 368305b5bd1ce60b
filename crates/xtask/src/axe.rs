//! Whether pages can be used by everybody, as far as a machine can tell: axe-core, from npm, for development only.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::apt;
use crate::children::{self, Running};
use crate::peers::chromium::Browser;

/// The package and its version.
const PACKAGE: &str = "axe-core@4.10.3";
/// The rules: WCAG 2.2 AA, and what is good practice besides.
const RULES: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";

/// What is put into a page to look at it; installed on the first use.
pub fn script() -> Result<String> {
    let folder = crate::target().join("axe");
    let file = folder.join("node_modules/axe-core/axe.min.js");
    if !file.exists() {
        apt::must_have("npm")?;
        std::fs::create_dir_all(&folder)?;
        let log = folder.join("install.log");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--prefix"]).arg(&folder).arg(PACKAGE);
        let status = Running::start("the installation of axe-core", &mut npm, &log)?.wait(Duration::from_mins(5))?;
        ensure!(status.success(), "npm install {PACKAGE}: {status}\n{}", children::tail(&log, 15));
    }
    Ok(std::fs::read_to_string(file)?)
}

/// Looks at what a page shows, light and dark: nothing may be wrong with it.
pub fn must_be_clean(browser: &mut Browser, session: &str, script: &str, what: &str) -> Result<u64> {
    let mut passed = 0;
    for scheme in ["light", "dark"] {
        browser.prefer(session, scheme)?;
        browser.evaluate(session, &format!("{script}; true"))?;
        let look = format!(
            "axe.run(document, {{ runOnly: {RULES} }}).then(({{ violations, passes }}) => [passes.length, violations.map((found) =>
                `${{found.id}}: ${{found.nodes.map((node) => node.target.join(' ')).join(', ')}}`)])"
        );
        let found = browser.evaluate(session, &look)?;
        let wrong = found[1].as_array().map_or(0, Vec::len);
        ensure!(wrong == 0, "{what}, {scheme}: {:#}", found[1]);
        passed += found[0].as_u64().unwrap_or_default();
    }
    browser.prefer(session, "light")?;
    Ok(passed)
}
