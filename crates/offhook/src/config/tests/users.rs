//! Users and tokens.

use offhook_server::Role;
use offhook_units::AgentId;

use super::{GOOD, check_added, check_fault, loaded};

/// Of "staple battery horse".
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$p8Ha0D2SHTAwOXB3CtBxXU0bZPVnRjIDsFcb8dMNSVs";
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn user(more: &str) -> String {
    format!("[http]\nlisten = \"127.0.0.1:0\"\n[[user]]\nname = \"sue\"\npassword = \"{HASH}\"\n{more}")
}

#[test]
fn users_are_agents_have_roles_and_their_secrets_are_never_shown() {
    let text = format!(
        "{GOOD}{}",
        user(&format!("roles = [\"supervisor\", \"quality\"]\nagent = \"ann\"\ntotp = \"{SECRET}\"\n"))
    );
    let loaded = loaded(&text);
    let [sue] = loaded.users.as_slice() else { panic!("{:?}", loaded.users) };
    assert_eq!(sue.roles, [Role::Supervisor, Role::Quality]);
    assert_eq!(sue.agent, Some((AgentId(2), "ann".to_owned())));
    assert!(sue.codes.is_some());
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("argon2id") && !shown.contains(SECRET), "{shown}");
}

#[test]
fn who_is_disabled_is_let_in_no_more_and_somebody_always_is() {
    let second = format!("[[user]]\nname = \"bob\"\npassword = \"{HASH}\"\nroles = \"agent\"\n");
    let disabled = user("roles = \"agent\"\ndisabled = true\n");
    let users = loaded(&format!("{GOOD}{disabled}{second}")).users;
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["bob"]);
    check_added(&disabled, (4, 8), "every user is disabled", "leave one");
}

#[test]
fn users_with_faults_are_told_what_to_write() {
    for (more, place, message, advice) in [
        ("", (3, 1), "[[user]] has no roles", "'supervisor'"),
        ("roles = []\n", (6, 9), "may do nothing", "'agent'"),
        ("roles = \"superviser\"\n", (6, 9), "there is no role 'superviser'", "\"supervisor\""),
        ("roles = \"agent\"\nagent = \"anne\"\n", (7, 9), "there is no agent 'anne'", "\"ann\""),
        ("roles = \"agent\"\ntotp = \"GEZDGNBV\"\n", (7, 8), "less than 128 bits", "--totp"),
    ] {
        check_added(&user(more), place, message, advice);
    }
    let weak = user("roles = \"agent\"\n").replace("m=19456", "m=1024");
    check_added(&weak, (5, 12), "can guess fast", "offhook user new");
    let clear = user("roles = \"agent\"\n").replace(HASH, "staple battery horse");
    check_added(&clear, (5, 12), "no hash of a password", "offhook user new");
    let none = user("roles = \"agent\"\n").replace("password", "# password");
    check_added(&none, (3, 1), "[[user]] has no password", "offhook user new");
    let twice =
        format!("{}[[user]]\nname = \"sue\"\npassword = \"{HASH}\"\nroles = \"agent\"\n", user("roles = \"agent\"\n"));
    check_added(&twice, (8, 8), "two users 'sue'", "a name of its own");
}

#[test]
fn tokens_are_kept_as_hashes() {
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let with = |hash: &str| {
        format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[[token]]\nname = \"board\"\nsha256 = \"{hash}\"\nroles = \"operator\"\n"
        )
    };
    let loaded = loaded(&format!("{GOOD}{}", with(hash)));
    assert_eq!(loaded.tokens[0].sha256, offhook_server::token_hash("test"));
    check_added(&with("test"), (5, 10), "64 hexadecimal digits", "offhook user token");
}

#[test]
fn whoever_can_be_reached_from_outside_needs_users_or_a_token() {
    let outside = "[http]\nlisten = \"0.0.0.0:8080\"\n";
    check_added(outside, (2, 10), "everybody could use it", "offhook user new");
    let with_user = user("roles = \"administrator\"\n").replace("127.0.0.1:0", "0.0.0.0:8080");
    check_added(&with_user, (2, 10), "in clear", "tls = true");
    let secure = with_user.replace("8080\"", "8080\"\ntls = true");
    check_added(&secure, (1, 1), "no good [tls]", "certificate = ");
    let tls = "[tls]\ncertificate = \"../fixtures/tls/exchange.pem\"\nkey = \"../fixtures/tls/exchange.key\"\n";
    let loaded = loaded(&format!("{GOOD}{tls}{secure}"));
    assert_eq!(loaded.http.expect("http").address(), "https://0.0.0.0:8080/");
    let without_http = user("roles = \"agent\"\n").replace("[http]\nlisten = \"127.0.0.1:0\"\n", "");
    check_fault(&format!("{GOOD}{without_http}"), (1, 1), "nothing to sign in to", "add [http]");
}
