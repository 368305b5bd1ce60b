//! A provider of OpenID Connect by others, oidc-provider-mock on authlib, from PyPI: people of Chromium sign in there and are sent back.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::chromium::Browser;
use crate::children::{self, Running, wait_for};
use crate::{http, python};

const PACKAGES: [&str; 2] = ["oidc-provider-mock==0.3.4", "authlib==1.9.10"];
/// Where it listens. It is called `localhost`, which is another site than the exchange at 127.0.0.1: cookies go as between strangers.
const PORT: u16 = 25_070;
/// A page shows a change within this.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// Whom it knows, and what it says of them.
const LEAD: &str = r#"{"sub":"ida","groups":["contact-centre-leads"],"offhook_agent":"Agent 12"}"#;
const STRANGER: &str = r#"{"sub":"otto","groups":["kitchen"]}"#;

/// A provider that runs.
pub struct Provider {
    _running: Running,
}

/// Its page names style sheets of a network that there is none of: Chromium looks nobody up but this machine.
pub fn browser_option() -> String {
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1".to_owned()
}

/// What the exchange at `address` is told of it.
pub fn table(address: SocketAddr) -> String {
    format!(
        "[openid]\nissuer = \"http://localhost:{PORT}\"\nclient_id = \"offhook\"\nsecret = \"any secret\"\n\
         address = \"https://{address}\"\ntitle = \"House account\"\nroles_claim = \"groups\"\nagent_claim = \"offhook_agent\"\n\
         [openid.roles]\ncontact-centre-leads = \"supervisor\"\n"
    )
}

impl Provider {
    /// Starts it.
    pub fn start(folder: &Path) -> Result<Self> {
        let python = python::environment("openid", "oidc_provider_mock", &PACKAGES)?;
        let at = SocketAddr::from(([127, 0, 0, 1], PORT));
        children::tcp_must_be_free(at, "the provider of OpenID Connect")?;
        let mut command = Command::new(python);
        command.args(["-m", "oidc_provider_mock", "--require-nonce", "true", "--port", &PORT.to_string()]);
        command.args(["--user-claims", LEAD, "--user-claims", STRANGER]);
        let running = Running::start("oidc-provider-mock", &mut command, &folder.join("openid.log"))?;
        wait_for("the provider of OpenID Connect", Duration::from_secs(20), || {
            let known = http::ask(at, "GET", "/.well-known/openid-configuration", None);
            Ok(known.is_ok_and(|(status, _)| status == 200).then_some(()))
        })?;
        Ok(Self { _running: running })
    }
}

fn until(browser: &mut Browser, session: &str, what: &str, expression: &str) -> Result<()> {
    wait_for(what, SHOWN_WITHIN, || {
        // A page that is being left has no answer.
        Ok((browser.evaluate(session, &format!("Boolean({expression})")).unwrap_or_default() == true).then_some(()))
    })
    .with_context(|| {
        let text = browser.evaluate(session, "location.href + ' ' + document.body.innerText").unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    })
}

/// Goes to the provider, does something there, and waits for what the page says afterwards.
fn there(browser: &mut Browser, session: &str, act: &str, back: &str) -> Result<()> {
    let button = "document.querySelector('#sign-in-openid:not([hidden]) a')";
    until(browser, session, "the button of the provider", button)?;
    browser.evaluate(session, &format!("{button}.click(); true"))?;
    until(browser, session, "the provider's page", "document.querySelector('input[name=sub]')")?;
    browser.evaluate(session, &format!("{act}; true"))?;
    until(browser, session, back, back)
}

/// One is refused for want of a role, one says no at the provider, one is let in; the way back is good once.
pub fn sign_in(browser: &mut Browser, exchange: SocketAddr) -> Result<String> {
    let session = browser.open(&format!("https://{exchange}/desk"))?;
    let choose = |sub: &str| format!("document.querySelector('button[name=sub][value={sub}]').click()");
    let says = |words: &str| format!("document.getElementById('sign-in-note')?.innerText.includes('{words}')");
    there(browser, &session, &choose("otto"), &says("no role"))?;
    // This provider says no without the state that it was sent (RFC 6749 section 4.1.2.1 wants it): an answer that may be anybody's.
    there(browser, &session, "document.querySelector('button[value=deny]').click()", &says("took too long"))?;
    let known = "document.getElementById('me-who')?.innerText.includes('ida (supervisor)')";
    there(browser, &session, &choose("ida"), known)?;
    let at = browser.evaluate(&session, "location.pathname + location.hash")?;
    ensure!(at == "/desk", "back at {at}");
    let own = browser.evaluate(&session, "fetch('/api/v1/session').then((answer) => answer.json())")?;
    ensure!(own["agent"]["name"] == "Agent 12", "the claim names an agent, and the session has {}", own["agent"]);
    let readable = browser.evaluate(&session, "document.cookie")?;
    ensure!(readable == "", "a script reads {readable}");
    let other = browser.open(&format!("https://{exchange}/sign-in/openid/return?code=x&state=y"))?;
    until(browser, &other, "an answer that nobody waits for", "location.hash === '#sign-in-stale'")?;
    Ok(session)
}

/// Still signed in, where the exchange was started anew meanwhile; and out again, here and there.
pub fn still_in(browser: &mut Browser, session: &str) -> Result<()> {
    // What is there until the page goes is no answer.
    browser.evaluate(session, "window.leaving = true; setTimeout(() => location.reload()); true")?;
    until(
        browser,
        session,
        "the session to outlive a restart",
        "!window.leaving && document.getElementById('me-who')?.innerText.includes('ida (supervisor)')",
    )?;
    browser.evaluate(session, "document.getElementById('sign-out').click(); true")?;
    let there = "location.port === '25070' && document.body.innerText.includes('End Session')";
    until(browser, session, "the provider's page for signing out", there)
}
