//! Files as they are shipped elsewhere, and what becomes of them; what is written must be a configuration.

use std::path::Path;

use super::{Found, Note, callcenter, queues, write};
use crate::config;

const HEAD: &str = "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[[trunk]]\nname = \"t\"\npeers = [\"127.0.0.2\"]\n";

/// The tables, checked with the accounts that they ask for; and the notes as `line: what: why`.
fn imported(found: Found) -> (String, Vec<String>, config::Checked) {
    let (toml, notes) = write::tables(found);
    let accounts = toml.replace("# [[account]]\n# name", "[[account]]\nname");
    let accounts = accounts.replace("# password = \"..\"", "password = \"correct horse\"");
    let whole = format!("{HEAD}{accounts}");
    let checked =
        config::check_text(Path::new("imported.toml"), &whole).unwrap_or_else(|faults| panic!("{faults}\n{whole}"));
    let notes = notes.into_iter().map(|Note { line, what, why }| format!("{line}: {what}: {why}")).collect();
    (toml, notes, checked)
}

#[test]
fn a_call_centre_of_freeswitch_becomes_two_queues_and_three_agents_with_11_notes() {
    let source = r#"<configuration name="callcenter.conf" description="CallCenter">
  <settings>
    <!--<param name="odbc-dsn" value="dsn:user:pass"/>-->
    <param name="dbname" value="/dev/shm/callcenter.db"/>
  </settings>
  <queues>
    <queue name="support@default">
      <param name="strategy" value="sequentially-by-agent-order"/>
      <param name="moh-sound" value="$${hold_music}"/>
      <param name="record-template" value="$${base_dir}/${uuid}.wav"/>
      <param name="time-base-score" value="system"/>
      <param name="max-wait-time" value="600"/>
      <param name="max-wait-time-with-no-agent" value="30"/>
      <param name="tier-rules-apply" value="true"/>
      <param name="tier-rule-wait-second" value="20"/>
      <param name="tier-rule-wait-multiply-level" value="true"/>
      <param name="tier-rule-no-agent-no-wait" value="false"/>
      <param name="abandoned-resume-allowed" value="true"/>
      <param name="discard-abandoned-after" value="90"/>
    </queue>
    <queue name="sales@default">
      <param name="strategy" value="ring-progressively"/>
      <param name="ring-progressively-delay" value="10"/>
      <param name="max-wait-time" value="0"/>
    </queue>
  </queues>
  <agents>
    <agent name="1001@default" type="callback" contact="[leg_timeout=10]user/1001@default" status="Available" max-no-answer="3" wrap-up-time="10" reject-delay-time="10" busy-delay-time="60" />
    <agent name="1000@default" type="callback" contact="sofia/internal/1000@192.0.2.7" status="Logged Out" wrap-up-time="20"/>
    <agent name="1002@default" type="uuid-standby" contact="loopback/1002" status="On Break"/>
  </agents>
  <tiers>
    <tier agent="1000@default" queue="support@default" level="1" position="1"/>
    <tier agent="1001@default" queue="support@default" level="3" position="1"/>
    <tier agent="1001@default" queue="sales@default" level="1" position="1"/>
    <tier agent="1009@default" queue="sales@default" level="1" position="2"/>
  </tiers>
</configuration>
"#;
    let (toml, notes, checked) = imported(callcenter::read(source).expect("a file"));
    let expected = "[[queue]]\nname = \"support@default\"\nstrategy = \"linear\"\nrecord = true\nmax_wait = \"600s\"\n\
                    wrap_up = \"20s\"\ntier_waits = [\"0s\", \"40s\", \"60s\"]\nresume_within = \"90s\"\njoin_when_nobody_serves = true\n\
                    leave_when_nobody_serves_for = \"30s\"\n\n\
                    [[queue]]\nname = \"sales@default\"\nstrategy = \"ring-progressively\"\nwiden_every = \"10s\"\n\
                    wrap_up = \"10s\"\njoin_when_nobody_serves = true\n\n\
                    # 1002@default has no phone here:\n# [[agent]]\n# name = \"1002@default\"\n# queues = []\n\
                    # login = \"when-registered\"\n\n\
                    [[agent]]\nname = \"1000@default\"\ncontact = \"sip:1000@192.0.2.7:5060\"\n\
                    queues = [\"support@default\"]\nlogin = \"by-command\"\n\n\
                    [[agent]]\nname = \"1001@default\"\naccount = \"1001\"\n\
                    queues = [{ queue = \"support@default\", level = 3 }, \"sales@default\"]\n\
                    login = \"when-registered\"\nmax_missed = \"3\"\ndecline_delay = \"10s\"\nbusy_delay = \"60s\"\n\n\
                    # [[account]]\n# name = \"1001\"\n# password = \"..\"\n\n";
    assert_eq!(toml, expected.replace("max_missed = \"3\"", "max_missed = 3"));
    assert_eq!((checked.queues.len(), checked.agents.len()), (2, 2));
    let begin: Vec<&str> = notes.iter().map(|note| note.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(begin, ["0", "4", "9", "10", "11", "17", "28", "30", "30", "30", "36"], "{notes:#?}");
    assert!(notes[2].contains("$${hold_music}: name a prompt"), "{}", notes[2]);
    assert!(notes[10].contains("1009@default in sales@default: there is no such agent"), "{}", notes[10]);
}

#[test]
fn queues_of_asterisk_follow_templates_and_penalties_become_levels() {
    let source = "\
[general]
persistentmembers = yes
autofill = yes
[base](!)
strategy = rrmemory
timeout = 20 ; seconds
retry = 5
wrapuptime=10
joinempty = paused,invalid
[sales](base)
maxlen = 12
weight = 3
servicelevel = 30
autopause = yes
musicclass = default
member => PJSIP/alice,0,Alice
member => PJSIP/bob,5,Bob,hint:bob@users
member => SIP/carl@192.0.2.9,10
member => Local/9@agents
[support](base)
strategy = wrandom
leavewhenempty = yes
joinempty = no
member => PJSIP/alice,0,Alice
";
    let (toml, notes, checked) = imported(queues::read(source).expect("a file"));
    for line in
        ["strategy = \"round-robin\"", "ring_for = \"20s\"", "max_waiting = 12", "service_level = { within = \"30s\" }"]
    {
        assert!(toml.contains(line), "{line} is not in {toml}");
    }
    let places: Vec<_> = checked.agents.iter().map(|agent| (agent.acd.name.as_str(), agent.queues.clone())).collect();
    let place = |queue: &str, level| (queue.to_owned(), level, 1);
    assert_eq!(
        places,
        [
            ("Alice", vec![place("sales", 1), place("support", 1)]),
            ("Bob", vec![place("sales", 6)]),
            ("carl", vec![place("sales", 11)]),
        ]
    );
    assert!(checked.agents.iter().all(|agent| agent.acd.max_missed == 1));
    let support = &checked.queues[1].acd;
    assert_eq!((support.strategy.name(), support.no_agents.join), ("weighted-random", false));
    let begin: Vec<&str> = notes.iter().map(|note| note.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(begin, ["2", "7", "9", "15", "17", "19", "21"], "{notes:#?}");
}

#[test]
fn penalties_beyond_16_keep_their_order() {
    let source = "[q]\nmember => SIP/a,0\nmember => SIP/b,50\nmember => SIP/c,100\nmember => SIP/d,150\n";
    let (_, _, checked) = imported(queues::read(source).expect("a file"));
    let levels: Vec<u8> = checked.agents.iter().map(|agent| agent.queues[0].1).collect();
    assert_eq!(levels, [1, 2, 3, 4]);
}

#[test]
fn no_damage_to_a_file_is_more_than_an_error() {
    let whole =
        "<a><queue name=\"q\"><param name='strategy' value=\"ring-all\"/></queue><!-- x --><tier agent=\"1\"/></a>";
    for end in 0..whole.len() {
        let _ = callcenter::read(&whole[..end]);
        let _ = callcenter::read(&whole[end..]);
    }
    for text in
        ["[", "[]", "x", "[q]\n=", "[q]\nmember", "[q]\nmember=>", "[q](a,!,+)\n= >", "#include x", "member => SIP/1"]
    {
        let _ = queues::read(text);
    }
}
