//! `offhook check FILE`: everything that is wrong with a configuration, at once.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::config::{self, Checked};

/// Checks a configuration.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration, such as config/offhook.toml.
    pub file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What a good configuration is, in numbers.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    sip: Vec<String>,
    http: Option<String>,
    trunks: usize,
    numbers: usize,
    flows: usize,
    queues: usize,
    agents: usize,
    accounts: usize,
    prompts: usize,
}

impl Summary {
    fn of(checked: &Checked) -> Self {
        Self {
            name: checked.name.clone(),
            sip: checked
                .sip_listen
                .iter()
                .map(|listen| format!("{}:{}", listen.transport.name().to_lowercase(), listen.address))
                .collect(),
            http: checked.http.as_ref().map(|http| http.listen.to_string()),
            trunks: checked.trunks.len(),
            numbers: checked.numbers.len(),
            flows: checked.menus.len(),
            queues: checked.queues.len(),
            agents: checked.agents.len(),
            accounts: checked.accounts.len(),
            prompts: checked.assets.len(),
        }
    }

    fn text(&self) -> String {
        let Self { name, sip, http, trunks, numbers, flows, queues, agents, accounts, prompts } = self;
        let http = http.as_ref().map_or_else(|| "no HTTP".to_owned(), |http| format!("http://{http}/"));
        format!(
            "{name}: SIP on {}, {http}\n{}, {}, {}, {}, {}, {}, {}",
            sip.join(" and "),
            count(*trunks, "trunk"),
            count(*numbers, "number"),
            count(*flows, "flow"),
            count(*queues, "queue"),
            count(*agents, "agent"),
            count(*accounts, "account"),
            count(*prompts, "prompt"),
        )
    }
}

pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Checks, reports, and exits with 1 where the exchange could not start.
pub fn run(args: &CheckArgs) -> ExitCode {
    let checked = config::check(&args.file);
    let (faults, summary) = match &checked {
        Ok(checked) => (&checked.warnings, Some(Summary::of(checked))),
        Err(faults) => (faults, None),
    };
    let good = summary.is_some();
    if args.json {
        println!("{}", serde_json::json!({ "ok": good, "faults": faults.json(), "summary": summary }));
    } else {
        eprint!("{}", faults.graphical(std::io::stderr().is_terminal()));
        match summary {
            Some(summary) => println!("{} is good.\n{}", args.file.display(), summary.text()),
            None => eprintln!("{}: {}", args.file.display(), count(errors(faults), "fault")),
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn errors(faults: &config::Faults) -> usize {
    faults.list.iter().filter(|fault| !fault.warning).count()
}
