//! Faults as rows: a fragment of a file, where its fault is, what it says, what it advises.

mod alarms;
mod elsewhere;
mod entrances;
mod lending;
mod menus;
mod recording;
mod users;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use offhook_acd::{Strategy, WrapUp};
use offhook_call::config::{Answer, Destination, Login, Reach, Rule, Supervises};
use offhook_net::trace::HepConfig;
use offhook_plan::CodecKind;
use offhook_sip::Transport;
use offhook_units::{QueueId, Span};

use super::{Checked, Faults, Kind, Loaded, Target, Tracing, check, check_text};

/// A file without faults and warnings, for fragments to be added to: its last line is line 17.
pub(super) const GOOD: &str = r#"[sip]
listen = ["udp:127.0.0.1:5060"]
[[trunk]]
name = "t"
peers = ["127.0.0.2"]
[[queue]]
name = "sales"
[[account]]
name = "ann"
password = "correct horse"
[[agent]]
name = "ann"
account = "ann"
queues = ["sales"]
[[number]]
number = "700"
queue = "sales"
"#;
/// Where a fragment that is added to [`GOOD`] begins.
const NEXT: usize = 18;

pub(super) fn read(text: &str) -> Result<Checked, Faults> {
    check_text(&shipped_folder().join("test.toml"), text)
}

fn shipped_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

fn faults_of(text: &str) -> Faults {
    match read(text) {
        Ok(checked) => checked.warnings,
        Err(faults) => faults,
    }
}

/// `text` has exactly one fault, at `place`, whose message and advice hold these words.
fn check_fault(text: &str, place: (usize, usize), message: &str, advice: &str) {
    let faults = faults_of(text);
    assert_eq!(faults.list.len(), 1, "of\n{text}\n{faults}");
    let fault = &faults.list[0];
    assert_eq!(faults.place(fault), place, "{faults}");
    assert!(fault.message.contains(message), "{message:?} is not in {faults}");
    assert!(fault.advice.contains(advice), "{advice:?} is not in {faults}");
}

/// The fault of `fragment` after [`GOOD`], with lines counted from the fragment's first.
fn check_added(fragment: &str, place: (usize, usize), message: &str, advice: &str) {
    check_fault(&format!("{GOOD}{fragment}"), (NEXT + place.0 - 1, place.1), message, advice);
}

fn loaded(text: &str) -> Loaded {
    let checked = read(text).unwrap_or_else(|faults| panic!("{faults}"));
    resolve(checked)
}

pub(super) fn resolve(checked: Checked) -> Loaded {
    let mut next = 0;
    let id = |_: Kind, _: &str| {
        next += 1;
        next
    };
    checked.resolve(id, |_, _| "127.0.0.1:5060".parse().expect("an address"))
}

#[test]
fn the_file_that_the_rows_add_to_is_good() {
    assert_eq!(faults_of(GOOD).to_string(), "");
    assert_eq!(GOOD.lines().count() + 1, NEXT);
}

#[test]
fn unknown_keys_and_tables_are_told_with_what_was_meant() {
    check_added(
        "[http]\nlisten = \"127.0.0.1:0\"\nlissen = 1\n",
        (3, 1),
        "unknown key 'lissen'",
        "did you mean 'listen'",
    );
    check_added("[htpp]\n", (1, 2), "unknown key 'htpp' in the file", "did you mean 'http'");
    check_added("[store]\ncolour = 1\n", (2, 1), "unknown key 'colour' in [store]", "[store] knows 'folder'");
    check_added("[[queues]]\nname = \"x\"\n", (1, 3), "unknown key 'queues'", "did you mean 'queue'");
    check_added("[queue_defaults]\nmax_wating = 3\n", (2, 1), "unknown key 'max_wating'", "did you mean 'max_waiting'");
    check_added(
        "[queue_defaults]\nservice_level = { with = \"20s\" }\n",
        (2, 19),
        "unknown key 'with' in [service_level]",
        "did you mean 'within'",
    );
}

#[test]
fn wrong_types_and_ranges_are_told_with_what_to_write() {
    for (fragment, place, message, advice) in [
        ("[exchange]\nnode = \"one\"\n", (2, 8), "node is a whole number, not a text", "write node = 0"),
        ("[exchange]\nnode = 1024\n", (2, 8), "node = 1024 is out of range", "from 0 to 1023"),
        ("[exchange]\nnode = -1\n", (2, 8), "node = -1 is out of range", "from 0 to 1023"),
        ("[exchange]\nname = \"\"\n", (2, 8), "name is empty", "write name = \"Offhook\""),
        ("[exchange]\nrealm = \"a b\"\n", (2, 9), "cannot be a host's name", "offhook.example"),
        ("[queue_defaults]\nring_for = 20\n", (2, 12), "a length of time, not a number", "\"20s\""),
        ("[queue_defaults]\nring_for = \"20\"\n", (2, 12), "is not a length of time", "\"20s\""),
        ("[queue_defaults]\nring_for = \"1h\"\n", (2, 12), "out of range", "from 1 s to 180 s"),
        ("[queue_defaults]\nsticky_for = \"0s\"\n", (2, 14), "out of range", "from 1 s to 3600 s"),
        ("[queue_defaults]\nexternal_decision = \"2m\"\n", (2, 21), "out of range", "from 100 ms to 60 s"),
        ("[queue_defaults]\nrecord = \"yes\"\n", (2, 10), "\"yes\" is not known", "\"on-demand\""),
        ("[queue_defaults]\nbreak_resets_idle = \"yes\"\n", (2, 21), "true or false, without quotes", "= true"),
        ("[queue_defaults]\nstrategy = \"longest\"\n", (2, 12), "is not known", "did you mean \"longest-idle\""),
        ("[queue_defaults]\nstrategy = \"best\"\n", (2, 12), "is not known", "'fewest-calls', 'fewestcalls'"),
        ("[media]\nports = \"10001-20000\"\n", (2, 9), "not a range of RTP ports", "\"10000-20999\""),
        ("[media]\nports = \"20000\"\n", (2, 9), "not a range of RTP ports", "\"10000-20999\""),
        ("[media]\ncodecs = [\"pcmx\"]\n", (2, 11), "codec \"pcmx\" is not known", "did you mean"),
        (
            "[media]\ncodecs = [\"g711\"]\n",
            (2, 11),
            "codec \"g711\" is not known",
            "\"pcma\" (G.711 A-law), \"g722\", \"opus\" or \"l16\"",
        ),
        ("[media]\ncodecs = [\"opus\"]\n", (2, 10), "callers have no codec", "\"pcmu\" or \"pcma\""),
        ("[media]\ncodecs = [\"l16\", \"opus\"]\n", (2, 10), "callers have no codec", "holds as it comes"),
        ("[media]\ncodecs = []\n", (2, 10), "without a codec there is no sound", "[\"pcmu\", \"pcma\"]"),
        ("[exchange]\ntones = \"uk\"\n", (2, 9), "the tones of \"uk\" are not known", "at au be"),
        ("[media]\nworkers = 0\n", (2, 11), "out of range", "from 1 to 64"),
        (
            "[[number]]\nnumber = \"9\"\necho = true\nqueue = \"support\"\n",
            (1, 1),
            "leads to two places",
            "echo = true",
        ),
        ("[turn]\nsecret = \"north\"\n", (1, 1), "[turn] wants urls and a secret", "secret_file"),
        ("[turn]\nurls = [\"turn:h:1\"]\n", (1, 1), "[turn] wants urls and a secret", "secret_file"),
        ("[turn]\nurls = [\"stun:h\"]\nsecret = \"n\"\n", (2, 9), "not the address of a relay", "turns: for TLS"),
        ("[turn]\nurls = []\nsecret = \"n\"\n", (2, 8), "no relay", "turn:turn.example.com"),
        ("[turn]\nurls = [\"turn:h\"]\nsecret = \"n\"\nlasts = \"1s\"\n", (4, 9), "out of range", "from 600 s"),
        ("[media]\nbrowser_port = 70000\n", (2, 16), "out of range", "from 1 to 65535"),
        ("[media]\nbrowser_port = 10002\n", (2, 16), "one of the media ports 10000-20999", "another browser_port"),
        ("[media]\nbrowser_port = 5060\n", (2, 16), "5060 is listened on for SIP", "another browser_port"),
        ("[media]\ncodecs = [\"pcma\", \"PCMA\"]\n", (2, 19), "named twice", "take one"),
    ] {
        check_added(fragment, place, message, advice);
    }
}

#[test]
fn codecs_are_taken_in_their_order_and_wideband_only_where_it_is_named() {
    let kinds = |added: &str| -> Vec<CodecKind> {
        let checked = read(&format!("{GOOD}{added}")).unwrap_or_else(|faults| panic!("{faults}"));
        checked.caps.codecs.iter().map(|cap| cap.kind).collect()
    };
    assert_eq!(kinds(""), [CodecKind::Pcmu, CodecKind::Pcma]);
    assert_eq!(kinds("[media]\ncodecs = [\"G722\", \"pcma\"]\n"), [CodecKind::G722, CodecKind::Pcma]);
}

#[test]
fn tones_are_those_of_europe_or_of_the_country_that_exchange_or_number_names() {
    let countries = |added: &str| {
        let checked = read(&format!("{GOOD}{added}")).unwrap_or_else(|faults| panic!("{faults}"));
        (checked.tones.country, checked.numbers["700"].tones.map(|tones| tones.country))
    };
    assert_eq!(countries(""), ("eu", None));
    assert_eq!(countries("[exchange]\ntones = \"US\"\n"), ("us", None));
    assert_eq!(countries("tones = \"fr\"\n[exchange]\ntones = \"gb\"\n"), ("gb", Some("fr")));
}

#[test]
fn voip_metrics_are_asked_for_only_where_that_is_switched_on() {
    for (added, asks) in [("", false), ("[media]\nvoip_metrics = true\n", true)] {
        let checked = read(&format!("{GOOD}{added}")).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(checked.caps.voip_metrics, asks, "{added}");
    }
}

#[test]
fn comfort_noise_is_agreed_on_only_where_it_is_switched_on() {
    let agreed_on = |added: &str| {
        let checked = read(&format!("{GOOD}{added}")).unwrap_or_else(|faults| panic!("{faults}"));
        checked.caps.comfort_noise
    };
    assert!(!agreed_on("") && !agreed_on("[media]\ncodecs = [\"pcma\"]\n"));
    assert!(agreed_on("[media]\ncomfort_noise = true\n"));
}

#[test]
fn phones_and_numbers_are_reached_over_the_transport_that_they_name() {
    let both = GOOD.replace("[\"udp:127.0.0.1:5060\"]", "[\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]");
    let dialled = "[[number]]\nnumber = \"77\"\ndial = \"tcp:192.0.2.9\"\n";
    let checked = check_text(Path::new("x.toml"), &format!("{both}{dialled}")).unwrap_or_else(|f| panic!("{f}"));
    let Target::Dial { transport, peer, .. } = &checked.numbers["77"].to else { panic!("{:?}", checked.numbers) };
    assert_eq!((*transport, peer.to_string()), (Transport::Tcp, "192.0.2.9:5060".to_owned()));
    let faults = faults_of(&format!("{GOOD}{dialled}"));
    assert!(faults.to_string().contains("listen in [sip] has no tcp"), "{faults}");
    assert!(faults.to_string().contains("tcp:ADDRESS:5060"), "{faults}");
}

#[test]
fn tls_needs_certificates_that_fit_together() {
    let listen = GOOD.replace("[\"udp:127.0.0.1:5060\"]", "[\"tls:127.0.0.1:5061\"]");
    check_fault(&listen, (2, 11), "there is no [tls]", "add [tls] with certificate");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls");
    let tls = |key: &str| {
        format!("{listen}[tls]\ncertificate = {:?}\nkey = {:?}\n", folder.join("exchange.pem"), folder.join(key))
    };
    assert!(check_text(Path::new("x.toml"), &tls("exchange.key")).is_ok_and(|checked| checked.tls.is_some()));
    let faults = faults_of(&tls("trunk.key"));
    assert!(faults.to_string().contains("name PEM files that fit together"), "{faults}");
}

#[test]
fn listeners_must_be_addresses_apart_from_each_other() {
    let sip = |listen: &str| GOOD.replace("[\"udp:127.0.0.1:5060\"]", listen);
    for (listen, column, message, advice) in [
        ("[\"127.0.0.1:5060\"]", 11, "SIP over '127.0.0.1' is not spoken", "udp:127.0.0.1:5060"),
        ("[\"sctp:127.0.0.1:5061\"]", 11, "SIP over 'sctp' is not spoken", "udp:127.0.0.1:5060"),
        ("[\"tcp:127.0.0.1:5060\", \"tcp:0.0.0.0:5060\"]", 33, "listened on twice", "take one"),
        ("[\"udp:localhost:5060\"]", 11, "\"localhost:5060\" is not an address", "udp:127.0.0.1:5060"),
        ("[\"udp:127.0.0.1:5060\", \"udp:0.0.0.0:5060\"]", 33, "listened on twice", "take one"),
        ("[]", 10, "nothing is listened on", "udp:127.0.0.1:5060"),
        ("[\"udp:127.0.0.1:10000\"]", 11, "port 10000 is one of the media ports", "another SIP port"),
    ] {
        check_fault(&sip(listen), (2, column), message, advice);
    }
    check_fault(&GOOD.replace("listen", "# listen"), (1, 1), "[sip] has no listen", "udp:127.0.0.1:5060");
}

#[test]
fn http_outside_of_loopback_needs_a_token() {
    for (fragment, place, message, advice) in [
        ("listen = \"0.0.0.0:8080\"\n", (2, 10), "can be reached from outside", "127.0.0.1:8080"),
        ("listen = \"127.0.0.1:0\"\nsound_check = \"*43\"\n", (3, 15), "no number that echoes", "echo = true"),
        ("listen = \"8080\"\n", (2, 10), "not an address with a port", "127.0.0.1:8080"),
        ("listen = \"127.0.0.1:0\"\ntoken = \"short\"\n", (3, 9), "the token is too short", "openssl rand -hex 16"),
        ("listen = \"127.0.0.1:0\"\ntoken = \"\"\n", (3, 9), "token is empty", "at least 16"),
        ("listen = \"127.0.0.1:0\"\ntoken_file = \"none.txt\"\n", (3, 14), "cannot be read", "relative to this one"),
        ("listen = \"127.0.0.1:0\"\nrequests_per_second = 0\n", (3, 23), "is out of range", "from 1 to 100000"),
        ("token = \"0123456789abcdef\"\n", (1, 1), "[http] has no listen", "127.0.0.1:8080"),
    ] {
        check_added(&format!("[http]\n{fragment}"), place, message, advice);
    }
    let outside = format!("{GOOD}[http]\nlisten = \"0.0.0.0:8080\"\ntoken = \"0123456789abcdef\"\n");
    let http = loaded(&outside).http.expect("http");
    assert_eq!(http.token.as_deref(), Some("0123456789abcdef"));
    assert_eq!(http.requests_per_s, 50);
    let slower = outside.replace("[http]\n", "[http]\nrequests_per_second = 5\n");
    assert_eq!(loaded(&slower).http.expect("http").requests_per_s, 5);
    assert!(!format!("{http:?}").contains("0123456789abcdef"));
}

#[test]
fn references_lead_somewhere() {
    for (from, to, place, message, advice) in [
        ("queues = [\"sales\"]", "queues = [\"sale\"]", (14, 11), "no queue 'sale'", "did you mean 'sales'"),
        ("account = \"ann\"", "account = \"bob\"", (13, 11), "no account 'bob'", "add [[account]]"),
        ("queue = \"sales\"\n", "queue = \"support\"\n", (17, 9), "no queue 'support'", "add [[queue]]"),
        ("queue = \"sales\"\n", "flow = \"menu\"\n", (17, 8), "no flow 'menu'", "add [[flow]]"),
        ("queue = \"sales\"\n", "dial = \"phone\"\n", (17, 8), "not a phone's address", "192.0.2.20:5060"),
        ("queue = \"sales\"\n", "\n", (15, 1), "this number leads nowhere", "queue = \"..\""),
        ("account = \"ann\"", "\n", (11, 1), "[[agent]] has no phone", "contact = \"sip:..\""),
        ("account = \"ann\"", "contact = \"sip:ann@host\"", (13, 11), "not a phone's address", "IP address"),
        ("number = \"700\"", "number = 700", (16, 10), "a text in quotes, not a number", "number = \"4930555700\""),
    ] {
        let text = GOOD.replace(from, to);
        let faults = faults_of(&text);
        let errors: Vec<_> = faults.list.iter().filter(|fault| !fault.warning).collect();
        assert_eq!(errors.len(), 1, "of\n{text}\n{faults}");
        assert_eq!(faults.place(errors[0]), place, "{faults}");
        assert!(errors[0].message.contains(message) && errors[0].advice.contains(advice), "{faults}");
    }
    let two = format!("{GOOD}flow = \"x\"\n");
    check_fault(&two, (15, 1), "this number leads to two places", "one of");
    check_added(
        "[[number]]\nnumber = \"7\"\ndial = \"127.0.0.9\"\nanswer = \"at-start\"\n",
        (1, 1),
        "answered when the phone answers",
        "take answer out",
    );
}

#[test]
fn names_numbers_and_addresses_are_there_once() {
    for (fragment, place, message) in [
        ("[[queue]]\nname = \"sales\"\n", (2, 8), "there are two queues 'sales'"),
        ("[[account]]\nname = \"ann\"\npassword = \"another horse\"\n", (2, 8), "there are two accounts 'ann'"),
        ("[[number]]\nnumber = \"700\"\nqueue = \"sales\"\n", (2, 10), "number 700 is there twice"),
        ("[[trunk]]\nname = \"t\"\npeers = [\"127.0.0.3\"]\n", (2, 8), "there are two trunks 't'"),
        ("[[trunk]]\nname = \"u\"\npeers = [\"127.0.0.0/24\"]\n", (3, 10), "belongs to trunk 't' already"),
        (
            "[[agent]]\nname = \"bob\"\naccount = \"ann\"\nqueues = [\"sales\"]\n",
            (2, 8),
            "'bob' and 'ann' have the same phone",
        ),
        (
            "[[agent]]\nname = \"ann\"\ncontact = \"sip:x@127.0.0.9\"\nqueues = [\"sales\"]\n",
            (2, 8),
            "there are two agents 'ann'",
        ),
        (
            "[[agent]]\nname = \"bob\"\ncontact = \"sip:x@127.0.0.9\"\nqueues = [\"sales\", \"sales\"]\n",
            (4, 20),
            "queue 'sales' is named twice",
        ),
    ] {
        check_added(fragment, place, message, "");
    }
}

#[test]
fn secrets_are_neither_empty_nor_the_name_nor_twice() {
    for (password, column, message) in [
        ("password = \"\"", 12, "password is empty"),
        ("password = \"bob\"", 12, "the password is the name"),
        ("password = \"correct\"\npassword_file = \"x\"", 17, "both password and password_file"),
    ] {
        let line = 2 + password.lines().count();
        check_added(&format!("[[account]]\nname = \"bob\"\n{password}\n"), (line, column), message, "");
    }
    check_added("[[account]]\nname = \"bob\"\n", (1, 1), "[[account]] has no password", "add password");
    let outside = GOOD.replace("127.0.0.1:5060", "0.0.0.0:5060").replace("correct horse", "horse");
    check_fault(&outside, (10, 12), "the password is short", "8 characters");
}

#[test]
fn a_faulty_password_is_one_fault_and_no_secret_is_shown() {
    let text = GOOD.replace("password = \"correct horse\"", "password = \"\"");
    check_fault(&text, (10, 12), "password is empty", "a secret");
    let faults = faults_of(&format!("{GOOD}[http]\nlisten = \"0.0.0.0:1\"\ntoken = \"staple\"\n"));
    let shown = faults.graphical(false);
    assert!(shown.contains("token = ********"), "{shown}");
    assert!(!shown.contains("staple") && !faults.to_string().contains("staple"), "{shown}");
}

#[test]
fn no_damage_to_a_file_is_more_than_a_fault() {
    let folder = shipped_folder();
    let source = std::fs::read_to_string(folder.join("offhook.toml")).expect("the file");
    let mut entropy = offhook_units::Entropy::from_number(17);
    for _ in 0..600 {
        let mut bytes = source.clone().into_bytes();
        for _ in 0..=entropy.below(4) {
            let at = entropy.below(bytes.len() as u64) as usize;
            match entropy.below(4) {
                0 => bytes[at] = entropy.below(128) as u8,
                1 => drop(bytes.drain(at..(at + 40).min(bytes.len()))),
                2 => bytes.insert(at, b"[]{}\"=,.#\n"[entropy.below(10) as usize]),
                _ => bytes.truncate(at + 1),
            }
        }
        let faults = match check_text(&folder.join("damaged.toml"), &String::from_utf8_lossy(&bytes)) {
            Ok(checked) => checked.warnings,
            Err(faults) => faults,
        };
        assert!(faults.list.len() <= super::fault::FAULTS_MAX);
        let _shown = (faults.to_string(), faults.graphical(false), faults.json());
    }
}

#[test]
fn ranges_make_many_and_say_where_the_number_goes() {
    let agents = |head: &str| format!("[[agent]]\n{head}\nqueues = [\"sales\"]\n");
    for (head, place, message, advice) in [
        (
            "from = 1\nto = 3\nname = \"a\"\ncontact = \"sip:a{n}@127.0.0.9\"",
            (4, 8),
            "same for every number",
            "put {n}",
        ),
        ("name = \"a{n}\"\ncontact = \"sip:a@127.0.0.9\"", (2, 8), "a place for a number", "add from = 1"),
        ("from = 3\nto = 1\nname = \"a{n}\"\ncontact = \"sip:a{n}@127.0.0.9\"", (2, 8), "is not a range", "at most"),
        (
            "from = 3\nname = \"a{n}\"\ncontact = \"sip:a{n}@127.0.0.9\"",
            (2, 8),
            "only one of from and to",
            "write both",
        ),
        ("from = 1\nto = 3\nname = \"a{m}\"\ncontact = \"sip:a{n}@127.0.0.9\"", (4, 8), "'{m}' is not", "{n:04}"),
        (
            "name = \"a\"\ncontact = \"sip:a@127.0.0.9\"\nlogin = \"when-registered\"",
            (1, 1),
            "never registers",
            "at-start",
        ),
    ] {
        check_added(&agents(head), place, message, advice);
    }
}

#[test]
fn prompts_are_found_or_told_where_they_were_looked_for() {
    let with = |keys: &str| format!("[queue_defaults]\n{keys}\n");
    check_added(&with("music = \"no-such\""), (2, 9), "no prompt 'no-such.wav' in", "asterisk-core-sounds-en-wav");
    let silent = format!("{GOOD}{}", with("announce_position_every = \"30s\""));
    check_fault(&silent, (6, 1), "its words are missing", "digits/{n}");
    check_added(&with("position = { digits = \"digits/1\" }"), (2, 23), "a place for the number", "{n} stands for");
    let mute = format!("{GOOD}{}", with("expected_wait = { digits = \"digits/{n}\" }"));
    check_fault(&mute, (19, 17), "never announced", "announce_position_every");
    check_added(&with("music = \"make.py\""), (2, 9), "no prompt 'make.py.wav'", "");
    check_added(
        "[prompts]\nfolders = [\"nowhere\"]\n",
        (2, 11),
        "none of these folders is there",
        "relative to this file",
    );
}

#[test]
fn menus_lead_from_keys_to_queues() {
    let flow = |choices: &str| {
        let flow = format!("[[flow]]\nname = \"menu\"\ndefault = \"sales\"\nchoices = {choices}\n");
        format!("{flow}[[number]]\nnumber = \"7\"\nflow = \"menu\"\n")
    };
    check_added(&flow("{ 12 = \"sales\" }"), (4, 13), "'12' is not a key of a phone", "0-9");
    check_added(&flow("{ 1 = 7 }"), (4, 17), "leads to a queue, written as a text", "1 = \"sales\"");
    check_added(&flow("{ 1 = \"slaes\" }"), (4, 17), "no queue 'slaes'", "did you mean 'sales'");
    let menus = loaded(&format!("{GOOD}{}", flow("{ 1 = \"sales\", \"*\" = \"sales\" }"))).exchange.flows;
    assert_eq!(menus["menu"].choices.keys().collect::<String>(), "*1");
    assert_eq!((menus["menu"].wait_for_digit, menus["menu"].rounds), (Span::from_s(5), 3));
}

#[test]
fn what_looks_like_a_slip_is_warned_of() {
    for (fragment, place, message) in [
        ("[[queue]]\nname = \"support\"\n", (2, 8), "nobody serves queue 'support'"),
        ("[[agent]]\nname = \"bob\"\ncontact = \"sip:b@127.0.0.9\"\n", (2, 8), "agent 'bob' serves no queue"),
        ("[[flow]]\nname = \"menu\"\ndefault = \"sales\"\n", (2, 8), "nothing leads to flow 'menu'"),
    ] {
        let text = format!("{GOOD}{fragment}");
        check_added(fragment, place, message, "");
        assert!(read(&text).is_ok(), "a warning stops nothing");
    }
}

#[test]
fn a_file_that_is_not_toml_is_told_at_its_first_wrong_line() {
    let faults = faults_of("[sip\nlisten = [\"udp:127.0.0.1:5060\"]\n");
    assert!(!faults.list.is_empty());
    assert_eq!(faults.place(&faults.list[0]).0, 1, "{faults}");
    let faults = faults_of("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\nlisten = 3\n");
    assert_eq!(faults.place(&faults.list[0]), (3, 1), "{faults}");
    assert!(faults.list[0].message.contains("duplicate key"), "{faults}");
    // What can be understood is checked all the same.
    let faults = faults_of("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\nlisten = 3\n[exchange]\nnode = 9999\n");
    assert!(faults.to_string().contains(":5:8: node = 9999 is out of range"), "{faults}");
}

#[test]
fn all_faults_are_told_in_one_run_in_the_order_of_the_file() {
    let text = format!("{GOOD}[media]\nworkers = 0\n[exchange]\nnode = 5000\nnmae = \"x\"\n[[queue]]\nnam = \"y\"\n");
    let faults = faults_of(&text);
    let lines: Vec<usize> = faults.list.iter().map(|fault| faults.place(fault).0).collect();
    assert_eq!(lines, [19, 21, 22, 23, 24], "{faults}");
    let graphical = faults.graphical(false);
    assert!(graphical.contains("test.toml:21:8: node = 5000 is out of range"), "{graphical}");
    assert!(graphical.contains("help: write a number from 0 to 1023"), "{graphical}");
}

#[test]
fn columns_count_characters_not_bytes() {
    let text = format!("{GOOD}[exchange]\nname = \"Bürö\" # ü\n\"nöde\" = 1\nrealm = \"ü\"\n");
    let faults = faults_of(&text);
    let places: Vec<_> = faults.list.iter().map(|fault| faults.place(fault)).collect();
    assert_eq!(places, [(20, 1), (21, 9)], "{faults}");
}

#[test]
fn a_missing_file_is_one_fault() {
    let faults = check(Path::new("no/such/file.toml")).expect_err("no file");
    assert_eq!(faults.list.len(), 1);
    assert!(faults.to_string().starts_with("no/such/file.toml:1:1: cannot be read"), "{faults}");
}

#[test]
fn the_newcomers_files_lead_a_call_from_a_trunk_through_a_menu_to_two_agents() {
    for name in ["offhook.toml", "lan.toml"] {
        let checked = check(&shipped_folder().join(name)).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(checked.warnings.to_string(), "");
        assert_eq!(checked.numbers["4930555700"].to, Target::Flow("reception".to_owned()));
        let outside = checked.sip_listen.iter().any(|listen| listen.address.ip().is_unspecified());
        assert_eq!(outside, name == "lan.toml");
        let loaded = resolve(checked);
        assert!(loaded.http.expect("http").listen.ip().is_loopback());
        let Loaded { exchange, sounds, .. } = loaded;
        let menu = &exchange.flows["reception"];
        let [sales, support] = [QueueId(1), QueueId(2)];
        assert_eq!((&menu.choices[&'1'], &menu.choices[&'2']), (&sales.into(), &support.into()));
        assert_eq!(menu.default, sales.into());
        for queue in &exchange.queues {
            assert!(
                queue.record == Some(Rule::Always)
                    && !queue.music.is_empty()
                    && !queue.nobody_here.is_empty()
                    && !queue.full.is_empty()
            );
            assert_eq!((queue.announce_every, queue.announcement.digits.len()), (Span::from_s(30), 10));
            assert_eq!((queue.expected_wait.digits.len(), queue.expected_wait.one.len()), (10, 3));
            assert_eq!(queue.acd.wrap_up, WrapUp::For(Span::from_s(5)));
        }
        let support = &exchange.queues[1];
        assert_eq!((support.acd.name.as_str(), support.acd.strategy), ("support", Strategy::RoundRobin));
        let names: Vec<_> = exchange.agents.iter().map(|agent| agent.acd.name.as_str()).collect();
        assert_eq!(names, ["alice", "bob"]);
        assert!(
            exchange.agents.iter().all(|agent| agent.login == Login::WhenRegistered && agent.acd.queues.len() == 2)
        );
        let files = sounds.iter().filter(|sound| sound.is_file()).count();
        assert_eq!(sounds.len(), files + 3, "and the tones of one country");
    }
}

#[test]
fn the_load_tests_file_offers_what_the_load_scripts_ask_for() {
    let checked = check(&shipped_folder().join("loadtest.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(checked.warnings.to_string(), "");
    assert_eq!(checked.sip_listen[0].address, "127.0.0.1:5060".parse::<SocketAddr>().expect("an address"));
    let Loaded { exchange, .. } = resolve(checked);
    assert_eq!(exchange.rtp_ports, 10_000..=20_999);
    let caller: core::net::IpAddr = "127.0.0.2".parse().expect("an address");
    assert!(exchange.trunks[0].peers.contains(&caller));

    for (number, record) in [("700", None), ("701", Some(Rule::Always))] {
        let number = &exchange.numbers[number];
        assert_eq!(number.answer, Answer::AtStart);
        let Destination::Queue(id) = number.to else { panic!("{number:?} is no queue") };
        let queue = exchange.queues.iter().find(|queue| queue.acd.id == id).expect("the queue");
        assert_eq!((queue.record, queue.acd.wrap_up), (record, WrapUp::For(Span::ZERO)));
        assert!(!queue.music.is_empty());
        let serving = exchange.agents.iter().filter(|agent| agent.acd.queues.iter().any(|place| place.queue == id));
        assert_eq!(serving.count(), 1_000);
    }
    let Destination::Dial { flow, .. } = &exchange.numbers["800"].to else { panic!("800 is no phone") };
    assert_eq!(flow.peer, "127.0.0.3:5070".parse::<SocketAddr>().expect("an address"));

    let last = exchange.agents.last().expect("an agent");
    let Reach::Static { uri, flow } = &last.reach else { panic!("{last:?} is not static") };
    assert_eq!((uri.as_str(), flow.peer.port()), ("sip:a1000@127.0.0.3:5070", 5_070));
    assert_eq!((last.login, last.acd.max_missed), (Login::AtStart, 0));
    assert_eq!((exchange.accounts.len(), &*exchange.accounts["r0001"].password), (1_000, "pw0001"));
    assert_eq!(exchange.accounts["r1000"].password, "pw1000");
}

#[test]
fn an_agent_supervises_queues_by_name_or_every_call_and_no_queue_that_there_is_not() {
    let agent = "account = \"ann\"";
    let text = |supervises: &str| GOOD.replacen(agent, &format!("{agent}\nsupervises = {supervises}"), 1);
    let supervises = |given: &str| loaded(&text(given)).exchange.agents[0].supervises.clone();
    let sales = loaded(GOOD).exchange.queues[0].acd.id;
    assert_eq!(supervises("[]"), Supervises::Nothing);
    assert_eq!(supervises("[\"sales\"]"), Supervises::Queues(vec![sales]));
    assert_eq!(supervises("[\"sales\", \"*\"]"), Supervises::Everything);
    check_fault(&text("[\"sale\"]"), (14, 15), "there is no queue 'sale'", "sales");
}

#[test]
fn strategies_are_known_by_the_names_of_freeswitch_and_asterisk() {
    let rows = [
        ("ringall", Strategy::RingAll),
        ("sequentially-by-agent-order", Strategy::Linear),
        ("rrmemory", Strategy::RoundRobin),
        ("longest-idle-agent", Strategy::LongestIdle),
        ("leastrecent", Strategy::LongestIdle),
        ("agent-with-fewest-calls", Strategy::FewestCalls),
        ("agent-with-least-talk-time", Strategy::LeastTalk),
        ("ring-progressively", Strategy::RingProgressively),
        ("top-down", Strategy::TopDown),
        ("wrandom", Strategy::WeightedRandom),
    ];
    for (name, strategy) in rows {
        assert_eq!(Strategy::named(name), Some(strategy));
    }
    for strategy in Strategy::ALL {
        for name in core::iter::once(&strategy.name()).chain(strategy.aliases()) {
            let text = GOOD.replacen("name = \"sales\"", &format!("name = \"sales\"\nstrategy = \"{name}\""), 1);
            let checked = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!(checked.queues[0].acd.strategy, strategy, "{name}");
        }
    }
}

#[test]
fn skills_needs_and_rings_come_to_the_exchange_by_id() {
    let needs = "name = \"sales\"\nstrategy = \"skills-best\"\npoints_per_second_waited = 2\nsticky_for = \"20s\"\n\
                 external_decision = \"2s\"\nresume_within = \"2m\"\n\
                 needs = [\"french\", { skill = \"claims\", level = 3, weight = 2 }]\n\
                 rings = [{ after = \"20s\", drops = [\"french\"] }]";
    let skills =
        "queues = [{ queue = \"sales\", weight = 7 }]\nskills = [\"french\", { skill = \"claims\", level = 4 }]";
    let text = GOOD.replacen("name = \"sales\"", needs, 1).replace("queues = [\"sales\"]", skills);
    let exchange = resolve(read(&text).unwrap_or_else(|faults| panic!("{faults}"))).exchange;
    let (sales, ann) = (&exchange.queues[0].acd, &exchange.agents[0].acd);
    let needs: Vec<_> = sales.needs.iter().map(|need| (need.level, need.weight)).collect();
    assert_eq!(needs, [(1, 1), (3, 2)]);
    assert_eq!((sales.rings[0].after, &sales.rings[0].drops), (Span::from_s(20), &vec![sales.needs[0].skill]));
    assert_eq!(sales.order, offhook_acd::Order::Score { points_per_s: 2 });
    let (wait, within) = (Span::from_s(20), Span::from_s(86_400));
    assert_eq!(exchange.queues[0].sticky, Some(offhook_call::config::Sticky { wait, within }));
    assert_eq!(exchange.queues[0].external, Some(Span::from_s(2)));
    assert_eq!(exchange.queues[0].resume_within, Some(Span::from_s(120)));
    assert!(ann.meets(&sales.needs) && ann.queues[0].weight == 7);
}

#[test]
fn messages_are_kept_in_64_mib_unless_it_is_said_otherwise_and_homer_needs_an_address() {
    let with = |lines: &str| read(&GOOD.replacen("[sip]\n", &format!("[sip]\n{lines}\n"), 1));
    let trace = |lines: &str| with(lines).unwrap_or_else(|faults| panic!("{faults}")).trace;
    assert_eq!(trace(""), Tracing { bytes_max: 64 << 20, homer: None });
    assert_eq!(trace("trace_mib = 0").bytes_max, 0);
    let to = "192.0.2.30:9060".parse().expect("an address");
    let homer = trace("homer = \"udp:192.0.2.30:9060\"\nhomer_id = 7\nhomer_key = \"k\"").homer;
    assert_eq!(homer, Some(HepConfig { to, id: 7, key: Some("k".to_owned()) }));
    for (lines, fault) in [
        ("homer = \"192.0.2.30:9060\"", "no place to send to"),
        ("homer = \"udp:0.0.0.0:9060\"", "no place to send to"),
        ("homer_id = 7", "it is said how"),
    ] {
        let faults = with(lines).expect_err(lines).to_string();
        assert!(faults.contains(fault), "{faults}");
    }
}

#[test]
fn faults_of_skills_are_named_with_their_place() {
    let queue = "[[queue]]\nname = \"x\"\n";
    check_added(&format!("{queue}needs = [\"a\", \"a\"]\n"), (3, 15), "named twice", "take one");
    check_added(&format!("{queue}needs = [7]\n"), (3, 10), "neither a skill's name", "french");
}

#[test]
fn large_requests_go_over_the_listener_for_tcp_where_there_is_one() {
    let asked = GOOD.replace("5060\"]\n", "5060\"]\nlarge_requests = \"tcp\"\n");
    check_fault(&asked, (1, 1), "listen in [sip] has no tcp", "or take large_requests out");
    let both = asked.replace("5060\"]", "5060\", \"tcp:0.0.0.0:5070\"]");
    let over = |text: &str| {
        let checked = read(text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5070".parse().expect("an address");
        checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange.large_requests_over
    };
    assert_eq!(over(&both), ["0.0.0.0:5070".parse::<SocketAddr>().expect("an address")]);
    assert!(over(GOOD).is_empty());
}

#[test]
fn sessions_expire_as_configured_and_never_below_what_peers_may_ask_for() {
    let with = |line: &str| GOOD.replace("5060\"]\n", &format!("5060\"]\n{line}\n"));
    check_fault(&with("session_expires = \"80s\""), (1, 1), "sessions expire after", "\"0s\" for never");
    let timers = |text: &str| {
        let checked = read(text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5070".parse().expect("an address");
        let timers = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange.session_timers;
        (timers.expires.as_s(), timers.min.as_s())
    };
    assert_eq!(timers(GOOD), (1_800, 90));
    assert_eq!(timers(&with("session_expires = \"0s\"")), (0, 90));
    assert_eq!(timers(&with("session_expires = \"10m\"\nsession_expires_min = \"5m\"")), (600, 300));
}

#[test]
fn a_number_may_dial_over_websocket_where_it_is_listened_on() {
    let dialled = GOOD.replace("queue = \"sales\"\n", "dial = \"wss:192.0.2.20\"\n");
    check_fault(&dialled, (17, 8), "listen in [sip] has no wss", "add \"wss:ADDRESS:443\" to listen");
    let open = dialled.replace("wss:", "ws:").replace("5060\"]", "5060\", \"ws:127.0.0.1:8080\"]");
    let checked = read(&open).unwrap_or_else(|faults| panic!("{faults}"));
    let Target::Dial { transport, peer, .. } = checked.numbers["700"].to else { panic!("it dials") };
    assert_eq!((transport, peer), (Transport::Ws, "192.0.2.20:80".parse().expect("an address")));
}

#[test]
fn encryption_is_chosen_for_all_for_a_trunk_and_for_an_account() {
    use offhook_sip::sdp::SrtpPolicy;
    let text = "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\nsrtp = \"optional\"\nsrtp_keys_in_clear = true\n[[trunk]]\nname = \"t\"\n\
        peers = [\"127.0.0.2\"]\nsrtp = \"required\"\n[[account]]\nname = \"ann\"\npassword = \"correct horse\"\nsrtp = \"off\"\n\
        [[account]]\nname = \"bob\"\npassword = \"battery staple\"\n";
    let checked = check_text(Path::new("test.toml"), text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((checked.srtp.policy, checked.srtp.keys_in_clear), (SrtpPolicy::Optional, true));
    assert_eq!(checked.trunks[0].srtp, Some(SrtpPolicy::Required));
    assert_eq!((checked.accounts["ann"].srtp, checked.accounts["bob"].srtp), (Some(SrtpPolicy::Off), None));
    let faults = check_text(Path::new("test.toml"), &text.replace("\"optional\"", "\"optionl\"")).expect_err("a fault");
    assert!(faults.to_string().contains("optional"), "{faults}");
}
