//! Serves the page over a made-up call centre, to look at it: `cargo run -p offhook-server --example page -- 127.0.0.1:8089
//! [empty|token|users]`. Users are named as their roles are, the agent alice and the supervisor bob; all with the password "staple battery horse".
#![expect(clippy::disallowed_methods, reason = "a program")]

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use offhook_server::{
    LiveEvent, Metrics, Password, PhoneSettings, Role, Server, ServerOptions, User, Webhooks, events,
};
use offhook_units::{AgentId, Span, Tick};

#[path = "../tests/support/mod.rs"]
mod support;

fn staff() -> Vec<User> {
    let password = Password::of("staple battery horse").expect("long enough");
    let user = |(title, role): (&str, Role)| {
        let (name, agent) = match role {
            Role::Agent => ("alice", Some(AgentId(1))),
            Role::Supervisor => ("bob", Some(AgentId(2))),
            _ => (title, None),
        };
        let agent = agent.map(|id| (id, name.to_owned()));
        User {
            name: name.to_owned(),
            password: Some(password.clone()),
            openid: None,
            codes: None,
            roles: vec![role],
            agent,
        }
    };
    Role::ALL.map(user).into()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8089".to_owned());
    let listen: SocketAddr = listen.parse().expect("an address with a port");
    let mode = arguments.next().unwrap_or_default();
    let token = (mode == "token").then(|| "0123456789abcdef".to_owned());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(Span::ZERO, Span::from);
    let now = Tick::ZERO + now;
    let mut view = support::Fixed::centre(now);
    if mode == "empty" {
        view = support::Fixed { now: Some(now), ..support::Fixed::default() };
    }
    let users = if mode == "users" { staff() } else { Vec::new() };
    let (sender, receiver) = events();
    let server = Server::start(
        ServerOptions {
            listen,
            token,
            tokens: Vec::new(),
            users,
            openid: None,
            entrances: Vec::new(),
            tls: None,
            phone: PhoneSettings::default(),
            requests_per_s: 1_000,
            webhooks: Webhooks::default(),
        },
        support::shared(view),
        receiver,
        Metrics::new(),
    )
    .await;
    let server = server.expect("a free port");
    println!("http://{}/", server.local_addr());
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = every.tick() => sender.publish(now, LiveEvent::Queue(support::queue(1, "sales", 2, 3))),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    server.shutdown().await;
}
