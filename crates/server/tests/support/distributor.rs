//! What the distributor would tell: why a call waits, and a report.

use std::collections::BTreeMap;

use offhook_acd::{
    Candidate, Channel, Event, Explanation, Formula, IdleKey, PassedOver, Report, Standing, Strategy, WrapUpStart,
};
use offhook_call::alarm::AlarmView;
use offhook_call::config::Names;
use offhook_call::event::CallEvent;
use offhook_call::numbers::NumberReport;
use offhook_call::record::CallEnd;
use offhook_server::{Explained, ReportFault, Reported};
use offhook_units::{AgentId, CallId, ContactId, OfferId, PersonRef, QueueId, SkillId, Span, Tick, VisitId};

/// The first agent is chosen, the second has a reason, and the third lacks a skill.
pub fn explained(agents: BTreeMap<AgentId, String>) -> Explained {
    let candidate = |agent, standing| Candidate {
        agent: AgentId(agent),
        key: IdleKey { level: 1, major: 7, minor: 0, agent: AgentId(agent) },
        standing,
    };
    let candidates = vec![
        candidate(1, Standing::Chosen),
        candidate(2, Standing::PassedOver(PassedOver::NotReady("lunch".to_owned()))),
        candidate(3, Standing::PassedOver(PassedOver::LacksSkill(SkillId(5)))),
    ];
    let queue = QueueId(1);
    let explanation = Explanation { queue, strategy: Strategy::LongestIdle, ahead: 1, candidates };
    let names = Names {
        queues: BTreeMap::from([(queue, "sales".to_owned())]),
        agents,
        skills: BTreeMap::from([(SkillId(5), "claims".to_owned())]),
    };
    Explained { explanation, names }
}

/// Two visits of a queue and what an agent did, a quarter of an hour after `from`.
pub fn reported(bounds: Vec<Tick>, rows_max: usize) -> Result<Reported, ReportFault> {
    let (from, until) = (bounds[0], bounds[bounds.len() - 1]);
    let mut report = Report::new(bounds, []);
    let (queue, agent) = (QueueId(1), AgentId(1));
    let at = |minutes: u64| from + Span::from_s(60 * (15 + minutes));
    let entered = |contact, place_at| Event::Entered {
        contact: ContactId(contact),
        visit: VisitId(contact),
        queue,
        channel: Channel::Voice,
        priority: 0,
        place_at,
        needs: Vec::new(),
    };
    let (offer, contact, visit) = (OfferId(1), ContactId(1), VisitId(1));
    let (talk, hold, wrap_up) = (Span::from_s(240), Span::from_s(60), WrapUpStart::None);
    for (at, event) in [
        (at(0), Event::LoggedIn { agent, new_shift: true }),
        (at(5), entered(1, at(5))),
        (at(5), Event::Offered { offer, contact, queue, agent, deadline: at(6) }),
        (at(6), Event::Accepted { offer, contact, visit, queue, agent, entered_at: at(5) }),
        (at(11), Event::Finished { contact, queue, agent, talk, hold, wrap_up }),
        (at(16), entered(2, at(16))),
    ] {
        report.fold(at, &event);
    }
    report.close(at(20).min(until));
    let queues = BTreeMap::from([(queue, ("=sales, \"north\"".to_owned(), Formula::Strict))]);
    if report.rows() > rows_max {
        return Err(ReportFault::TooLarge);
    }
    Ok(Reported { report, queues, agents: BTreeMap::from([(agent, "alice".to_owned())]) })
}

/// Two calls of a number: one is answered after 8 s and talks a minute, one is given up.
pub fn numbers(bounds: Vec<Tick>, rows_max: usize) -> Result<NumberReport, ReportFault> {
    let at = bounds[0];
    let mut report = NumberReport::new(bounds);
    let (number, end) = ("+4930555700".to_owned(), CallEnd::AgentHungUp);
    let call =
        |call| CallEvent::Began { call: CallId(call), number: number.clone(), trunk: None, caller: PersonRef(1) };
    let later = |s| at + Span::from_s(s);
    report.fold(at, &call(1));
    report.fold(later(8), &CallEvent::Connected { call: CallId(1), agent: Some(AgentId(1)) });
    report.fold(later(68), &CallEvent::Ended { call: CallId(1), end });
    report.fold(later(90), &call(2));
    report.fold(later(99), &CallEvent::Ended { call: CallId(2), end: CallEnd::Abandoned });
    if rows_max == 0 { Err(ReportFault::TooLarge) } else { Ok(report) }
}

/// Two alarms that were raised just now.
pub fn alarms(since: Tick) -> Vec<AlarmView> {
    let alarm = |alarm: &str, subject: &str, measure, value, limit| AlarmView {
        alarm: alarm.to_owned(),
        subject: subject.to_owned(),
        measure,
        value,
        limit,
        since,
    };
    vec![alarm("many wait", "sales", "waiting", 12, 10), alarm("line", "carrier", "trunk-down", 1, 1)]
}
