//! What the routes of the agent's desk take and give.

use axum::http::Method;

use super::Schemas;
use super::operations::Operation;
use crate::desk;

/// All of them.
pub fn all(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    vec![
        op(Method::GET, "/api/v1/desk", "showDesk", "Desk", "One's own desk: what is offered, talks, wrap-up")
            .query::<desk::DeskQuery>(s)
            .gives::<desk::DeskNow>(s, "The desk.")
            .refuses(&[404]),
        op(Method::POST, "/api/v1/desk/commands", "commandDesk", "Desk", "Decline, hold, mute, transfer, consult, hang up, end wrap-up")
            .notes("In one's own offer, call or wrap-up, whatever phone one has. Picking up is the phone's: a browser's phone of the same browser does it for the desk. 409 where it is too late, or the state of things does not allow it.")
            .body::<desk::DeskCommand>(s)
            .gives::<desk::DeskNow>(s, "The desk as it is now.")
            .refuses(&[404, 409]),
        op(Method::POST, "/api/v1/desk/wrap-up", "noteCall", "Desk", "Say what a call was about, by a code and in words")
            .notes("Of the call from a queue that was taken last, in the place of what was noted of it before. The words are sealed with the key of the person whom the call was with, and go with it.")
            .body::<desk::NoteCall>(s)
            .gives::<desk::DeskNow>(s, "The desk as it is now.")
            .refuses(&[404, 409]),
        op(Method::GET, "/api/v1/desk/history", "callerHistory", "Desk", "Earlier calls of a caller, with what was noted of them")
            .notes("Of the caller of a call that is offered to the agent, goes on, or was taken last. Who shows no number has none, nor has who was forgotten.")
            .query::<desk::HistoryQuery>(s)
            .gives::<desk::CallerHistory>(s, "At most 20 calls, newest first.")
            .refuses(&[404]),
        op(Method::GET, "/api/v1/desk/callbacks", "deskCallbacks", "Desk", "Callbacks of one's own queues")
            .query::<desk::DeskQuery>(s)
            .gives::<desk::DeskCallbacks>(s, "The 50 oldest ones.")
            .refuses(&[404]),
        op(Method::GET, "/api/v1/desk/figures", "deskFigures", "Desk", "What one did since the shift began")
            .query::<desk::DeskQuery>(s)
            .gives::<desk::OwnFigures>(s, "The figures, by the formulas of reports.")
            .refuses(&[404]),
        op(Method::GET, "/api/v1/reports/codes", "reportCodes", "Records", "How often each wrap-up code was given, by queue")
            .notes("A code counts when it was given last.")
            .query::<desk::CodesQuery>(s)
            .gives::<desk::CodesReport>(s, "The report.")
            .refuses(&[404]),
    ]
}
