//! `[recording.siprec]`: the recorder outside that gets the recorded calls too. `[recording.siprec_server]`: whose calls are recorded here.

use offhook_call::config::{SiprecClient, SiprecServer};
use offhook_call::siprec::{SESSIONS_MAX, SILENT_MAX};
use offhook_units::Span;

use super::read::{At, Section};
use super::{Reader, Trunk};

/// The user part of the recorder's URI where nothing is said.
const USER: &str = "siprec";

impl Reader {
    /// `[recording.siprec]`. That there is such a trunk is checked when the trunks are known.
    pub fn siprec(&mut self, section: &mut Section<'_>) -> Option<SiprecClient> {
        let mut table = section.table(&mut self.sink, "siprec")?;
        let trunk = table.need_text(&mut self.sink, "trunk", "\"recorder\"");
        let user = table.text(&mut self.sink, "user", "\"siprec\"");
        let required = table.flag(&mut self.sink, "required").unwrap_or(false);
        table.finish(&mut self.sink);
        if let Some(At { value, span }) = user.as_ref().filter(|user| !is_user(&user.value)) {
            let message = format!("user = \"{value}\" is not the user part of a SIP URI");
            self.sink.fault(span.clone(), message, "write letters, digits and -_.+, such as \"siprec\"");
        }
        let trunk = trunk?;
        let client = SiprecClient {
            trunk: trunk.value.clone(),
            user: user.map_or_else(|| USER.to_owned(), |user| user.value),
            required,
        };
        self.recorder = Some(trunk);
        Some(client)
    }

    /// `[recording.siprec_server]`. That there are such trunks is checked when the trunks are known.
    pub fn siprec_server(&mut self, section: &mut Section<'_>) -> Option<SiprecServer> {
        let mut table = section.table(&mut self.sink, "siprec_server")?;
        let trunks = table.texts(&mut self.sink, "trunks", "[\"sbc\"]");
        let silent = table.span(&mut self.sink, "silent_max", Span::from_s(10)..=Span::from_s(86_400));
        let sessions = table.number(&mut self.sink, "sessions", 1..=100_000);
        let span = table.span.clone();
        table.finish(&mut self.sink);
        let Some(trunks) = trunks.filter(|trunks| !trunks.value.is_empty()) else {
            let advice = "add trunks = [\"sbc\"]: the [[trunk]]s that may send recording sessions";
            self.sink.missing(span, "siprec_server does not say whose recording sessions are taken", advice);
            return None;
        };
        let server = SiprecServer {
            trunks: trunks.value.iter().map(|trunk| trunk.value.clone()).collect(),
            silent_max: silent.unwrap_or(SILENT_MAX),
            sessions_max: sessions.map_or(SESSIONS_MAX, |sessions| sessions.value as u32),
        };
        self.recorded = trunks.value;
        Some(server)
    }

    /// Whether the trunk of this name leads to the recorder: it need not take numbers.
    pub fn is_recorder(&self, trunk: Option<&At<String>>) -> bool {
        let recorder = self.recorder.as_ref().map(|recorder| &recorder.value);
        recorder.is_some() && recorder == trunk.map(|trunk| &trunk.value)
    }

    /// The trunks are known: the recorder's has to be among them, and to say where it is.
    pub fn check_recorder(&mut self, trunks: &[At<Trunk>]) {
        for At { value, span } in core::mem::take(&mut self.recorded) {
            if trunks.iter().all(|trunk| trunk.value.name != value) {
                let message = format!("there is no trunk '{value}'");
                self.sink.fault(span, message, "add a [[trunk]] of that name with peers = [\"192.0.2.9\"]");
            }
        }
        let Some(At { value, span }) = self.recorder.take() else { return };
        match trunks.iter().find(|trunk| trunk.value.name == value) {
            Some(trunk) if trunk.value.out.is_none() => {
                let message = format!("trunk = \"{value}\" does not say where it is");
                self.sink.fault(span, message, "add proxy = \"tcp:192.0.2.9:5060\" to that [[trunk]]");
            }
            Some(_) => {}
            None => {
                let message = format!("there is no trunk '{value}'");
                let advice = "add a [[trunk]] of that name with proxy = \"tcp:192.0.2.9:5060\"";
                self.sink.fault(span, message, advice);
            }
        }
    }
}

fn is_user(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use offhook_call::config::{SiprecClient, SiprecServer};
    use offhook_units::Span;

    use super::super::{Kind, check_text};

    fn text(trunk: &str, recording: &str) -> String {
        format!("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[[trunk]]\nname = \"rec\"\n{trunk}\n{recording}\n")
    }

    #[track_caller]
    fn check(trunk: &str, recording: &str, message: &str) {
        let text = text(trunk, recording);
        let faults = check_text(Path::new("test.toml"), &text).err().unwrap_or_else(|| panic!("no fault in\n{text}"));
        assert!(faults.list.iter().any(|fault| fault.message.contains(message)), "{message:?} is not in {faults}");
    }

    #[test]
    fn a_recorder_outside_is_a_trunk_that_takes_no_numbers() {
        let text = text("proxy = \"udp:192.0.2.9:5070\"", "[recording.siprec]\ntrunk = \"rec\"\nrequired = true");
        let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5060".parse().expect("an address");
        let exchange = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange;
        let (trunk, user) = ("rec".to_owned(), "siprec".to_owned());
        assert_eq!(exchange.recording.siprec, Some(SiprecClient { trunk, user, required: true }));
        assert_eq!(exchange.trunks[0].out.as_ref().map(|out| out.targets.len()), Some(1));
    }

    #[test]
    fn trunks_that_are_recorded_here_are_named() {
        let server = "[recording.siprec_server]\ntrunks = [\"rec\"]\nsilent_max = \"60s\"\nsessions = 20";
        let text = text("peers = [\"192.0.2.9\"]", server);
        let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5060".parse().expect("an address");
        let exchange = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange;
        let trunks = vec!["rec".to_owned()];
        let expected = SiprecServer { trunks, silent_max: Span::from_s(60), sessions_max: 20 };
        assert_eq!(exchange.recording.siprec_server, Some(expected));
        let peers = "peers = [\"192.0.2.9\"]";
        check(peers, "[recording.siprec_server]\ntrunks = [\"other\"]", "there is no trunk 'other'");
        check(peers, "[recording.siprec_server]\nsessions = 3", "whose recording sessions");
        check(peers, "[recording.siprec_server]\ntrunks = [\"rec\"]\nsessions = 0", "out of range");
    }

    #[test]
    fn a_recorder_that_is_no_trunk_or_is_nowhere_is_a_fault() {
        let proxy = "proxy = \"udp:192.0.2.9:5070\"\nprefixes = [\"0\"]";
        check(proxy, "[recording.siprec]\ntrunk = \"other\"", "there is no trunk 'other'");
        check("peers = [\"192.0.2.9\"]", "[recording.siprec]\ntrunk = \"rec\"", "does not say where it is");
        check(proxy, "[recording.siprec]\nrequired = true", "trunk");
        check(proxy, "[recording.siprec]\ntrunk = \"rec\"\nuser = \"a b\"", "is not the user part");
        check(proxy, "[recording.siprec]\ntrunk = \"rec\"\nserver = \"x\"", "server");
        check("proxy = \"udp:192.0.2.9:5070\"", "", "takes no numbers");
    }
}
