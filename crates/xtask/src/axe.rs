//! Whether pages can be used by everybody, as far as a machine can tell: axe-core, from PyPI, for development only.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::peers::chromium::Browser;
use crate::python;

/// The package of PyPI that has it in it, and its version; what else it wants is left out.
const PACKAGES: [&str; 2] = ["--no-deps", "axe-playwright-python==0.1.8"];
/// Where the script lies in the environment.
const FIND: &str = "import importlib.util, pathlib\n\
                    spec = importlib.util.find_spec('axe_playwright_python')\n\
                    print(pathlib.Path(spec.origin).parent / 'axe.min.js')";
/// The rules: WCAG 2.2 AA, and what is good practice besides.
const RULES: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";

/// What is put into a page to look at it; installed on the first use.
pub fn script() -> Result<String> {
    let python =
        python::environment("axe", "importlib.util as u; assert u.find_spec('axe_playwright_python')", &PACKAGES)?;
    let found = Command::new(python).args(["-c", FIND]).output().context("where axe-core lies")?;
    let file = String::from_utf8(found.stdout).context("where axe-core lies")?;
    std::fs::read_to_string(file.trim()).with_context(|| format!("axe-core in {}", file.trim()))
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
