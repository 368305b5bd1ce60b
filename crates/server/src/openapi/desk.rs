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
    ]
}
