//! Desks of a made-up call centre: alice talks, bob is offered a call; what they do shows.

use offhook_acd::AgentFigures;
use offhook_call::desk::{CodesView, DeskCall, DeskView, DeskWish, Entered, OfferView, TransferTo, WrapUpView};
use offhook_call::guests::{Denied, Part};
use offhook_call::view::GuestView;
use offhook_server::{Answer, CodeCount, Desk, GuestError, RecordEntry, Unavailable, View, WrapUpEntry};
use offhook_units::{AgentId, CallId, LegId, QueueId, Span, Tick};

use super::Fixed;

impl Fixed {
    /// The desk of an agent as it is at first.
    fn first_desk(&self, agent: AgentId) -> Option<DeskView> {
        let agent = self.agents.iter().find(|view| view.id == agent)?.clone();
        let own = |state: &str| {
            let of =
                |view: &&offhook_call::view::CallView| view.agent.as_ref() == Some(&agent.name) && view.state == state;
            self.calls.iter().find(of).cloned()
        };
        let entered = vec![Entered { menu: "main".to_owned(), key: '1' }];
        let offer = own("ringing").map(|call| OfferView {
            queue: "sales".to_owned(),
            deadline: agent.since + Span::from_s(20),
            waits_since: Some(call.since.before(Span::from_s(85))),
            entered: entered.clone(),
            callback: false,
            call,
        });
        let talk = own("talking").map(|call| DeskCall { call, outgoing: false, held: false, muted: false, entered });
        let codes = talk.as_ref().map(|talk| CodesView {
            call: talk.call.id,
            codes: ["Order/New", "Order/Change", "Complaint", "Other"].map(str::to_owned).to_vec(),
            required: true,
            code: None,
        });
        Some(DeskView { agent, offer, calls: talk.into_iter().collect(), wrap_up: None, codes })
    }

    fn change_desk(&self, view: &mut DeskView, call: Option<CallId>, wish: DeskWish) -> Result<(), Denied> {
        let now = self.now();
        let talk = view.calls.first_mut().filter(|talk| call.is_none_or(|call| call == talk.call.id));
        match (wish, talk) {
            (DeskWish::Decline, _) => {
                let offer = view.offer.as_ref().filter(|offer| call.is_none_or(|call| call == offer.call.id));
                offer.ok_or(Denied::NoOffer)?;
                (view.offer, view.agent.state, view.agent.since) = (None, "available", now);
            }
            (DeskWish::WrapUpDone, _)
                if view.codes.as_ref().is_some_and(|codes| codes.code.is_none()) && view.wrap_up.is_some() =>
            {
                return Err(Denied::CodeWanted);
            }
            (DeskWish::WrapUpDone, _) => {
                view.wrap_up.take().ok_or(Denied::NoWrapUp)?;
                (view.agent.state, view.agent.since, view.codes) = ("available", now, None);
            }
            (DeskWish::Code(code), _) => {
                let codes = view.codes.as_mut().filter(|codes| call.is_none_or(|call| call == codes.call));
                let codes = codes.ok_or(Denied::NoWrapUp)?;
                if code.as_ref().is_some_and(|code| !codes.codes.contains(code)) {
                    return Err(Denied::NoCode);
                }
                codes.code = code;
            }
            (DeskWish::ExtendWrapUp(by), _) => {
                let wrap_up = view.wrap_up.as_mut().ok_or(Denied::NoWrapUp)?;
                wrap_up.until = wrap_up.until.map(|until| until + by);
            }
            (_, None) => return Err(Denied::NotTalking),
            (DeskWish::Hold(on), Some(talk)) => {
                (talk.held, talk.call.state) = (on, if on { "held" } else { "talking" });
            }
            (DeskWish::Mute(on), Some(talk)) => talk.muted = on,
            (DeskWish::Consult(number), Some(talk)) => {
                let guest = GuestView { id: LegId(8), name: number, part: Part::Party, joined: Some(now) };
                talk.call.guests.push(guest);
                (talk.held, talk.call.state) = (true, "held");
            }
            (DeskWish::TakeBack, Some(talk)) => {
                talk.call.guests.retain(|guest| guest.part != Part::Party);
                (talk.held, talk.call.state) = (false, "talking");
            }
            (DeskWish::PutThrough, Some(talk)) if talk.call.guests.iter().all(|guest| guest.part != Part::Party) => {
                return Err(Denied::NoGuest);
            }
            (DeskWish::Transfer(TransferTo::Number(number)), Some(_)) if number == "nobody" => {
                return Err(Denied::Number(404));
            }
            (DeskWish::Transfer(TransferTo::Queue(queue)), Some(_))
                if self.queues.iter().all(|known| known.id != queue) =>
            {
                return Err(Denied::NoQueue(queue));
            }
            (DeskWish::PutThrough | DeskWish::Transfer(_) | DeskWish::HangUp, Some(talk)) => {
                let call = Some(talk.call.id);
                let wrap_up =
                    WrapUpView { call, queue: "sales".to_owned(), since: now, until: Some(now + Span::from_s(45)) };
                view.wrap_up = Some(wrap_up);
                view.calls.clear();
                (view.agent.state, view.agent.since) = ("wrap-up", now);
            }
        }
        Ok(())
    }
}

impl Desk for Fixed {
    fn desk(&self, agent: AgentId) -> Answer<'_, Result<Option<DeskView>, Unavailable>> {
        let known = self.desks.lock().expect("no panic before").get(&agent).cloned();
        self.answer(known.or_else(|| self.first_desk(agent)))
    }

    fn at_desk(
        &self,
        agent: AgentId,
        call: Option<CallId>,
        wish: DeskWish,
    ) -> Answer<'_, Result<Option<DeskView>, GuestError>> {
        let known = self.desks.lock().expect("no panic before").get(&agent).cloned();
        let done = known.or_else(|| self.first_desk(agent)).ok_or(Denied::NoAgent(agent)).and_then(|mut view| {
            self.change_desk(&mut view, call, wish)?;
            self.desks.lock().expect("no panic before").insert(agent, view.clone());
            Ok(Some(view))
        });
        Box::pin(async move { Ok(done?) })
    }

    fn note_call(
        &self,
        agent: AgentId,
        call: CallId,
        code: Option<String>,
        note: Option<String>,
    ) -> Answer<'_, Result<Option<DeskView>, GuestError>> {
        let entry = WrapUpEntry { agent, name: Some("alice".to_owned()), at: self.now(), code: code.clone(), note };
        Box::pin(async move {
            let view = self.at_desk(agent, Some(call), DeskWish::Code(code)).await?;
            self.noted.lock().expect("no panic before").insert((call, agent), entry);
            Ok(view)
        })
    }

    fn caller_history(
        &self,
        agent: AgentId,
        call: CallId,
        limit: u32,
    ) -> Answer<'_, Result<Vec<RecordEntry>, Unavailable>> {
        let desk = self.first_desk(agent);
        let own = desk.is_some_and(|desk| {
            desk.offer.is_some_and(|offer| offer.call.id == call) || desk.calls.iter().any(|talk| talk.call.id == call)
        });
        let entries = self.records.iter().filter(|_| own).take(limit as usize).cloned();
        self.answer(entries.collect())
    }

    fn own_figures(&self, agent: AgentId) -> Answer<'_, Result<Option<AgentFigures>, Unavailable>> {
        let known = self.agents.iter().any(|view| view.id == agent);
        let mut figures = AgentFigures {
            shift_began: Some(self.now().before(Span::from_s(3 * 3_600))),
            offers: 40,
            accepted: 36,
            declined: 1,
            missed: 3,
            handled: 36,
            talk: Span::from_s(5_400),
            hold: Span::from_s(300),
            wrap_up: Span::from_s(900),
            ..AgentFigures::default()
        };
        // Available, busy and wrap-up.
        (figures.in_state[1], figures.in_state[3]) = (Span::from_s(3_300), Span::from_s(5_700));
        figures.in_state[4] = Span::from_s(900);
        self.answer(known.then_some(figures))
    }

    fn codes(&self, from: Tick, until: Tick) -> Answer<'_, Result<Vec<CodeCount>, Unavailable>> {
        let noted = self.noted.lock().expect("no panic before");
        let mut counts: Vec<CodeCount> = Vec::new();
        for entry in noted.values().filter(|entry| (from..until).contains(&entry.at)) {
            let queue = Some((QueueId(1), Some("sales".to_owned())));
            counts.extend(entry.code.clone().map(|code| CodeCount { queue, code, times: 1 }));
        }
        self.answer(counts)
    }
}
