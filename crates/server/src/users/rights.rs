//! What a user may do: each route needs a right, each role has some.

use axum::http::Method;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// See queues, agents, opening hours, and one's own calls.
    Watch,
    /// Change one's own agent's state, and handle what is offered to it.
    OwnState,
    /// Change every agent's state.
    AgentStates,
    /// See every call that is up.
    Calls,
    /// Take part in calls, as one's own agent and as its `supervises` says.
    Supervise,
    /// Pause the recording of a call and go on with it: agents that of their own.
    PauseRecording,
    /// See and withdraw callbacks.
    Callbacks,
    /// Read call records.
    Records,
    /// Search recordings and listen to them.
    Recordings,
    /// Take recordings away as files.
    Export,
    /// See trunks and the SIP messages of calls.
    Signalling,
    /// See and lift bans.
    Bans,
    /// Read metrics.
    Metrics,
    /// Read the audit log.
    Audit,
    /// See and change the configuration.
    Configuration,
}

impl Right {
    /// Each with its name in the API.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::Watch, "watch"),
        (Self::OwnState, "own-state"),
        (Self::AgentStates, "agent-states"),
        (Self::Calls, "calls"),
        (Self::Supervise, "supervise"),
        (Self::PauseRecording, "pause-recording"),
        (Self::Callbacks, "callbacks"),
        (Self::Records, "records"),
        (Self::Recordings, "recordings"),
        (Self::Export, "export"),
        (Self::Signalling, "signalling"),
        (Self::Bans, "bans"),
        (Self::Metrics, "metrics"),
        (Self::Audit, "audit"),
        (Self::Configuration, "configuration"),
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(right, _)| *right == self).map_or("", |(_, name)| name)
    }
}

/// Some of the rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u16);

impl Rights {
    /// Every right.
    pub const ALL: Self = Self(u16::MAX);

    const fn of(rights: &[Right]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < rights.len() {
            bits |= 1 << rights[at] as u16;
            at += 1;
        }
        Self(bits)
    }

    /// Those of either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `right` is among them.
    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u16) != 0
    }

    /// Their names in the API.
    pub fn names(self) -> Vec<&'static str> {
        Right::ALL.iter().filter(|(right, _)| self.has(*right)).map(|(_, name)| *name).collect()
    }
}

/// What a user is in the service centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes calls.
    Agent,
    /// Leads agents: sees who waits and talks, supervises, hears recordings.
    Supervisor,
    /// Judges calls by their recordings.
    Quality,
    /// Reads what was done by whom, and hears nothing.
    Auditor,
    /// Runs the machine: lines, messages, metrics; hears nothing.
    Operator,
    /// May do everything.
    Administrator,
}

impl Role {
    /// Each with its name in the configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("agent", Self::Agent),
        ("supervisor", Self::Supervisor),
        ("quality", Self::Quality),
        ("auditor", Self::Auditor),
        ("operator", Self::Operator),
        ("administrator", Self::Administrator),
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }

    /// What it may do.
    pub const fn rights(self) -> Rights {
        match self {
            Self::Agent => Rights::of(&[Right::Watch, Right::OwnState, Right::PauseRecording]),
            Self::Supervisor => Rights::of(&[
                Right::Watch,
                Right::OwnState,
                Right::AgentStates,
                Right::Calls,
                Right::Supervise,
                Right::PauseRecording,
                Right::Callbacks,
                Right::Records,
                Right::Recordings,
                Right::Signalling,
            ]),
            Self::Quality => Rights::of(&[Right::Watch, Right::Records, Right::Recordings]),
            Self::Auditor => Rights::of(&[Right::Records, Right::Audit]),
            Self::Operator => Rights::of(&[
                Right::Watch,
                Right::Calls,
                Right::Records,
                Right::Signalling,
                Right::Bans,
                Right::Metrics,
            ]),
            Self::Administrator => Rights::ALL,
        }
    }
}

/// Each route of the API that is not open to everybody, with the right that it needs. A route that is not here is refused to everybody.
pub const ROUTES: [(Method, &str, Right); 53] = [
    (Method::GET, "/api/v1/queues", Right::Watch),
    (Method::GET, "/api/v1/agents", Right::Watch),
    (Method::POST, "/api/v1/agents/{id}/state", Right::OwnState),
    (Method::GET, "/api/v1/desk", Right::OwnState),
    (Method::POST, "/api/v1/desk/commands", Right::OwnState),
    (Method::POST, "/api/v1/desk/wrap-up", Right::OwnState),
    (Method::GET, "/api/v1/desk/history", Right::OwnState),
    (Method::GET, "/api/v1/desk/callbacks", Right::OwnState),
    (Method::GET, "/api/v1/desk/figures", Right::OwnState),
    (Method::GET, "/api/v1/reports/codes", Right::Records),
    (Method::GET, "/api/v1/calls", Right::Watch),
    (Method::POST, "/api/v1/calls/{id}/supervise", Right::Supervise),
    (Method::POST, "/api/v1/calls/{id}/guests", Right::Supervise),
    (Method::DELETE, "/api/v1/calls/{id}/guests/{guest}", Right::Supervise),
    (Method::POST, "/api/v1/calls/{id}/recording", Right::PauseRecording),
    (Method::GET, "/api/v1/calls/{id}/explanation", Right::Supervise),
    (Method::POST, "/api/v1/calls/{id}/placement", Right::Supervise),
    (Method::POST, "/api/v1/calls/{id}/decision", Right::Supervise),
    (Method::GET, "/api/v1/alarms", Right::Watch),
    (Method::GET, "/api/v1/trunks", Right::Signalling),
    (Method::GET, "/api/v1/calendars", Right::Watch),
    (Method::GET, "/api/v1/callbacks", Right::Callbacks),
    (Method::DELETE, "/api/v1/callbacks/{id}", Right::Callbacks),
    (Method::GET, "/api/v1/bans", Right::Bans),
    (Method::DELETE, "/api/v1/bans/{source}", Right::Bans),
    (Method::GET, "/api/v1/calls/{id}/ladder", Right::Signalling),
    (Method::GET, "/api/v1/calls/{id}/pcap", Right::Signalling),
    (Method::GET, "/api/v1/reports/queues", Right::Records),
    (Method::GET, "/api/v1/reports/agents", Right::Records),
    (Method::GET, "/api/v1/reports/numbers", Right::Records),
    (Method::GET, "/api/v1/records", Right::Records),
    (Method::GET, "/api/v1/records/{id}", Right::Records),
    (Method::GET, "/api/v1/recordings", Right::Recordings),
    (Method::GET, "/api/v1/recordings/{id}", Right::Recordings),
    (Method::GET, "/api/v1/recordings/{id}/audio", Right::Recordings),
    (Method::GET, "/api/v1/recordings/{id}/peaks", Right::Recordings),
    (Method::POST, "/api/v1/recordings/{id}/ticket", Right::Recordings),
    (Method::GET, "/api/v1/recordings/{id}/export", Right::Export),
    (Method::GET, "/api/v1/audit", Right::Audit),
    (Method::GET, "/api/v1/events", Right::Watch),
    (Method::GET, "/api/v1/events/ws", Right::Watch),
    (Method::GET, "/api/v1/config", Right::Configuration),
    (Method::PUT, "/api/v1/config", Right::Configuration),
    (Method::POST, "/api/v1/config/draft", Right::Configuration),
    (Method::POST, "/api/v1/config/credentials", Right::Configuration),
    (Method::POST, "/api/v1/config/reload", Right::Configuration),
    (Method::GET, "/api/v1/config/versions", Right::Configuration),
    (Method::GET, "/api/v1/config/versions/{version}", Right::Configuration),
    (Method::GET, "/api/v1/prompts", Right::Configuration),
    (Method::GET, "/api/v1/prompts/{name}", Right::Configuration),
    (Method::PUT, "/api/v1/prompts/{name}", Right::Configuration),
    (Method::DELETE, "/api/v1/prompts/{name}", Right::Configuration),
    (Method::GET, "/metrics", Right::Metrics),
];

/// Which right a request needs, by the pattern of its route.
pub fn needed(method: &Method, path: &str) -> Needed {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut known = false;
    for (of, at, right) in &ROUTES {
        known |= *at == path;
        if of == method && *at == path {
            return Needed::Right(*right);
        }
    }
    if known { Needed::OtherMethod } else { Needed::Unknown }
}

/// What [`needed`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// This right.
    Right(Right),
    /// The route does not take this method.
    OtherMethod,
    /// The table has no such route.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_what_their_work_needs_and_no_more() {
        let names = |role: Role| role.rights().names().join(" ");
        assert_eq!(names(Role::Agent), "watch own-state pause-recording");
        assert_eq!(names(Role::Quality), "watch records recordings");
        assert_eq!(names(Role::Auditor), "records audit");
        assert_eq!(names(Role::Operator), "watch calls records signalling bans metrics");
        assert_eq!(Role::Administrator.rights().names().len(), Right::ALL.len());
        for right in [Right::Export, Right::Bans, Right::Metrics, Right::Audit] {
            assert!(!Role::Supervisor.rights().has(right), "{right:?}");
        }
    }

    #[test]
    fn a_method_that_a_route_does_not_take_is_told_from_a_route_that_is_not_there() {
        assert_eq!(needed(&Method::HEAD, "/api/v1/queues"), Needed::Right(Right::Watch));
        assert_eq!(needed(&Method::PUT, "/api/v1/queues"), Needed::OtherMethod);
        assert_eq!(needed(&Method::GET, "/api/v1/secrets"), Needed::Unknown);
    }
}
