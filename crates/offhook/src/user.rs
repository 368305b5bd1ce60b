//! `offhook user`: makes the lines of the configuration that let people and programs in.

use core::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use offhook_server::{Codes, Password, Role, token_hash};
use offhook_units::push_hex;

use crate::config;
use crate::import::quoted;
use crate::serve::operating_system_entropy;

/// Users and tokens of the page and the API.
#[derive(Debug, clap::Subcommand)]
pub enum UserCommand {
    /// Ask for a password and print a [[user]] for the configuration.
    #[command(
        after_help = "Examples:\n  offhook user new ann --role supervisor --agent alice --into config/offhook.toml\n  \
                            offhook user new root --role administrator --totp\n\n\
                            The password is asked for at a terminal, or read from standard input. An exchange that runs takes new \
                            users in by offhook reload."
    )]
    New(NewArgs),
    /// Make a token for a program and print its [[token]] for the configuration.
    #[command(after_help = "Example:\n  offhook user token prometheus --role operator --into config/offhook.toml\n\n\
                            The token is shown once: the configuration holds its hash alone.")]
    Token(TokenArgs),
}

/// A new user.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// The name to sign in with.
    name: String,
    #[command(flatten)]
    roles: Roles,
    /// Which agent of the configuration it is: needed to take calls and to supervise.
    #[arg(long)]
    agent: Option<String>,
    /// Ask for a code of an authenticator, too.
    #[arg(long)]
    totp: bool,
}

/// A new token.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// What the program is called in the audit log.
    name: String,
    #[command(flatten)]
    roles: Roles,
}

#[derive(Debug, clap::Args)]
struct Roles {
    /// What it may do, once or more often.
    #[arg(long = "role", required = true, value_parser = role)]
    roles: Vec<&'static str>,
    /// Add the lines to this configuration, if it is good with them.
    #[arg(long)]
    into: Option<PathBuf>,
}

fn role(text: &str) -> Result<&'static str, String> {
    let known = || Role::ALL.iter().map(|(name, _)| *name);
    known().find(|name| *name == text).ok_or_else(|| format!("roles are {}", known().collect::<Vec<_>>().join(", ")))
}

/// Runs a command.
pub fn run(command: UserCommand) -> Result<ExitCode> {
    match command {
        UserCommand::New(args) => new(&args),
        UserCommand::Token(args) => token(&args),
    }
}

fn new(args: &NewArgs) -> Result<ExitCode> {
    let hash = Password::of(&ask_password()?).map_err(anyhow::Error::msg)?;
    let mut table = format!("[[user]]\nname = {}\npassword = {}\n", quoted(&args.name), quoted(hash.as_str()));
    table.push_str(&args.roles.line());
    if let Some(agent) = &args.agent {
        let _ = writeln!(table, "agent = {}", quoted(agent));
    }
    if args.totp {
        let (secret, address) = Codes::new_secret(&args.name).map_err(anyhow::Error::msg)?;
        let _ = writeln!(table, "totp = {}", quoted(&secret));
        eprintln!("Give this to the authenticator of {}, and to nobody else:\n{address}", args.name);
    }
    hand_over(&table, args.roles.into.as_deref())
}

fn token(args: &TokenArgs) -> Result<ExitCode> {
    let mut entropy = operating_system_entropy()?;
    let token = format!("{}{}", entropy.token(), entropy.token());
    let mut hash = String::new();
    for byte in token_hash(&token) {
        push_hex(&mut hash, u64::from(byte), 2);
    }
    let table = format!("[[token]]\nname = {}\nsha256 = {}\n{}", quoted(&args.name), quoted(&hash), args.roles.line());
    eprintln!("The token, which is not shown again: {token}");
    hand_over(&table, args.roles.into.as_deref())
}

impl Roles {
    fn line(&self) -> String {
        let roles: Vec<String> = self.roles.iter().map(|role| quoted(role)).collect();
        format!("roles = [{}]\n", roles.join(", "))
    }
}

/// Typed twice at a terminal; a line of standard input otherwise.
fn ask_password() -> Result<String> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("the password on standard input")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password("Password: ").context("the password")?;
    let second = rpassword::prompt_password("Again: ").context("the password")?;
    ensure!(first == second, "the two passwords are not the same");
    Ok(first)
}

/// Prints the table, or adds it to a configuration that is good with it.
fn hand_over(table: &str, into: Option<&Path>) -> Result<ExitCode> {
    let Some(file) = into else {
        print!("{table}");
        return Ok(ExitCode::SUCCESS);
    };
    let source = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let gap = if source.ends_with('\n') { "\n" } else { "\n\n" };
    if let Err(faults) = config::check_text(file, &format!("{source}{gap}{table}")) {
        eprintln!("{faults}");
        bail!("{} is not good with the new lines: nothing was written", file.display());
    }
    let mut end = OpenOptions::new().append(true).open(file).with_context(|| format!("{}", file.display()))?;
    end.write_all(format!("{gap}{table}").as_bytes()).with_context(|| format!("{}", file.display()))?;
    println!("Added to {}. An exchange that runs takes it in by: offhook reload", file.display());
    Ok(ExitCode::SUCCESS)
}
