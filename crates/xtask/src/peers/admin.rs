//! The administration in headless Chromium: every view and its forms by axe-core, light and dark, and at the widths of a phone and a desk.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::chromium::Browser;
use super::exchange::Exchange;
use crate::axe;
use crate::children::wait_for;

/// The page shows a change within this.
const SHOWN_WITHIN: Duration = Duration::from_secs(15);
/// Its tabs.
const VIEWS: [&str; 14] = [
    "number",
    "flow",
    "queue",
    "agent",
    "prompts",
    "calendar",
    "trunk",
    "account",
    "recording",
    "user",
    "token",
    "text",
    "history",
    "audit",
];
/// Those whose form is looked at: each kind of field is in one of them.
const FORMS: [&str; 6] = ["number", "flow", "queue", "calendar", "recording", "user"];

fn until(browser: &mut Browser, session: &str, what: &str, expression: &str) -> Result<()> {
    wait_for(what, SHOWN_WITHIN, || {
        Ok((browser.evaluate(session, &format!("Boolean({expression})"))? == true).then_some(()))
    })
    .with_context(|| {
        let text = browser.evaluate(session, "document.body.innerText").unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    })
}

/// Looks at everything as the administrator `name`; gives how many rules hold.
pub fn look(
    browser: &mut Browser,
    exchange: &Exchange,
    script: &str,
    folder: &Path,
    (name, password): (&str, &str),
) -> Result<u64> {
    let session = browser.open(&format!("http://{}/admin", exchange.http))?;
    let sign_in = format!(
        "fetch('/api/v1/session', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }}, \
         body: JSON.stringify({{ name: '{name}', password: '{password}' }}) }}).then((answer) => answer.status)"
    );
    until(browser, &session, "the page", "document.readyState === 'complete'")?;
    let status = browser.evaluate(&session, &sign_in)?;
    ensure!(status == 200, "the administrator gets {status}");
    browser.evaluate(&session, "location.reload(); true")?;
    until(browser, &session, "the configuration", "document.querySelectorAll('#tables-rows tr').length > 0")?;
    let mut passed = 0;
    for view in VIEWS {
        let chosen = format!("document.getElementById('tab-{view}')");
        browser.evaluate(&session, &format!("{chosen}.click(); true"))?;
        until(browser, &session, view, &format!("{chosen}.getAttribute('aria-selected') === 'true'"))?;
        passed += axe::must_be_clean(browser, &session, script, &format!("the view '{view}'"))?;
        shown(browser, &session, folder, view)?;
        if !FORMS.contains(&view) {
            continue;
        }
        let open =
            "(document.querySelector('#tables-rows button') ?? document.getElementById('tables-add')).click(); true";
        browser.evaluate(&session, open)?;
        until(browser, &session, "a form", "document.getElementById('form').open")?;
        passed += axe::must_be_clean(browser, &session, script, &format!("the form of '{view}'"))?;
        shown(browser, &session, folder, &format!("{view}-form"))?;
        browser.evaluate(&session, "document.getElementById('form').close(); true")?;
    }
    Ok(passed)
}

/// Nothing is wider than the window; a picture of each is kept.
fn shown(browser: &mut Browser, session: &str, folder: &Path, what: &str) -> Result<()> {
    for (width, scheme) in [(360, "dark"), (1_920, "light")] {
        browser.resize(session, width)?;
        browser.prefer(session, scheme)?;
        let scroll = browser.evaluate(session, "document.documentElement.scrollWidth")?.as_u64().unwrap_or(u64::MAX);
        ensure!(scroll <= u64::from(width), "'{what}' at a width of {width} is {scroll} wide");
        browser.screenshot(session, &folder.join(format!("admin-{what}-{width}.png")))?;
    }
    browser.prefer(session, "light")
}
