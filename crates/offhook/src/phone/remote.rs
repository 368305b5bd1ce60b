//! The phone driven from a page on this machine: a WebSocket on loopback that takes the orders of `--commands` and tells the events.
//!
//! Any page in a browser of this machine can reach such a socket. So a connection has to give the pairing code that the phone shows, in its
//! first message, and a page has to come from a site that was named. Five wrong codes make a new one. Whoever has paired gets a token, with
//! which a page that is loaded anew is let in while the phone is on.
#![expect(clippy::result_large_err, reason = "the library's callback has it so")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossbeam_channel::{Receiver, Sender, bounded};
use futures_util::{SinkExt, StreamExt};
use offhook_units::Entropy;
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::orders::{self, Order};

/// Pages that are connected at once; one more is refused.
const PAGES_MAX: usize = 4;
/// Events that may wait for a page; one that is further behind is let go.
const EVENTS_MAX: usize = 256;
/// Longest message that is taken, in bytes.
const MESSAGE_MAX: usize = 4_096;
/// How long a connection may take to show its code.
const PAIR_WITHIN: Duration = Duration::from_secs(10);
/// How long a wrong code is answered after: who guesses waits.
const WRONG_AFTER: Duration = Duration::from_secs(1);
/// Wrong codes after which there is another one.
const WRONG_MAX: u32 = 5;
/// Orders that wait for the phone.
const ORDERS_MAX: usize = 64;

/// The first message of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    /// The code that the phone shows ..
    code: Option<String>,
    /// .. or the token of an earlier connection.
    token: Option<String>,
}

/// Who is let in.
struct Door {
    code: String,
    token: String,
    wrong: u32,
    pages: usize,
    chance: Entropy,
}

impl Door {
    fn new(mut chance: Entropy) -> Self {
        let token = format!("{:016x}{:016x}", chance.next_u64(), chance.next_u64());
        Self { code: new_code(&mut chance), token, wrong: 0, pages: 0, chance }
    }

    /// Whether somebody with this hello is let in; a new code where too many were wrong.
    fn lets_in(&mut self, hello: &Hello) -> (bool, Option<String>) {
        if hello.token.as_ref() == Some(&self.token) {
            return (true, None);
        }
        if hello.code.as_ref() == Some(&self.code) {
            self.wrong = 0;
            return (true, None);
        }
        self.wrong += 1;
        if self.wrong < WRONG_MAX {
            return (false, None);
        }
        self.wrong = 0;
        self.code = new_code(&mut self.chance);
        (false, Some(self.code.clone()))
    }
}

/// Six digits.
fn new_code(chance: &mut Entropy) -> String {
    format!("{:06}", chance.below(1_000_000))
}

/// Words that the phone is to show.
type Say = Rc<dyn Fn(String)>;

/// A socket that is open. Dropping it closes it.
pub struct Remote {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a page has to show.
    pub code: String,
    /// What pages want.
    pub orders: Receiver<Order>,
    events: broadcast::Sender<String>,
    _over: oneshot::Sender<()>,
}

impl Remote {
    /// Opens it on `address`, for pages from these `origins` (`https://pbx.example.com`) and for programs, which have none. `say` is given what
    /// whoever sits at the phone should know.
    ///
    /// # Errors
    /// Where the address is not this machine's own, or taken.
    pub fn open(
        address: SocketAddr,
        origins: Vec<String>,
        chance: Entropy,
        say: impl Fn(String) + Send + 'static,
    ) -> Result<Self> {
        ensure!(address.ip().is_loopback(), "{address} is reached from outside of this machine: write 127.0.0.1:PORT");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address)).with_context(|| address.to_string())?;
        let address = listener.local_addr()?;
        let door = Door::new(chance);
        let code = door.code.clone();
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (tell_orders, orders) = bounded(ORDERS_MAX);
        let (over, ended) = oneshot::channel::<()>();
        let to_pages = events.clone();
        std::thread::Builder::new().name("phone-remote".into()).spawn(move || {
            let (door, say) = (Rc::new(RefCell::new(door)), Rc::new(say));
            let house = House { origins, door, events: to_pages, orders: tell_orders, say };
            let pages = tokio::task::LocalSet::new();
            pages.block_on(&runtime, async {
                tokio::select! {
                    () = house.listen(&listener) => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self { address, code, orders, events, _over: over })
    }

    /// Tells all pages what happened.
    pub fn tell(&self, event: &impl serde::Serialize) {
        if let Ok(line) = serde_json::to_string(event) {
            // Nobody listens: nobody misses it.
            drop(self.events.send(line));
        }
    }
}

/// What all connections share.
#[derive(Clone)]
struct House {
    origins: Vec<String>,
    door: Rc<RefCell<Door>>,
    events: broadcast::Sender<String>,
    orders: Sender<Order>,
    say: Say,
}

impl House {
    async fn listen(&self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let house = self.clone();
            tokio::task::spawn_local(async move {
                {
                    let mut door = house.door.borrow_mut();
                    if door.pages >= PAGES_MAX {
                        return;
                    }
                    door.pages += 1;
                }
                if let Err(error) = house.serve(stream).await {
                    tracing::debug!(%error, "a page's connection ended");
                }
                house.door.borrow_mut().pages -= 1;
            });
        }
    }

    fn admits(&self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let origin = request.headers().get("Origin").map(|origin| origin.to_str().unwrap_or("?"));
        match origin {
            None => Ok(response),
            Some(origin) if self.origins.iter().any(|named| named.trim_end_matches('/') == origin) => Ok(response),
            Some(origin) => {
                (self.say)(format!("a page of {origin} wanted to drive this phone, and was refused"));
                let mut refused = ErrorResponse::new(Some("this site was not named with --control-origin".into()));
                *refused.status_mut() = StatusCode::FORBIDDEN;
                Err(refused)
            }
        }
    }

    async fn serve(&self, stream: TcpStream) -> Result<()> {
        let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
        let admits = |request: &Request, response: Response| self.admits(request, response);
        let shaken = tokio_tungstenite::accept_hdr_async_with_config(stream, admits, Some(limits));
        let mut socket = tokio::time::timeout(PAIR_WITHIN, shaken).await??;
        let first = tokio::time::timeout(PAIR_WITHIN, socket.next()).await?.context("it went away")??;
        let hello: Option<Hello> = first.to_text().ok().and_then(|text| serde_json::from_str(text).ok());
        let (let_in, new) = match &hello {
            Some(hello) => self.door.borrow_mut().lets_in(hello),
            None => (false, None),
        };
        if let Some(code) = new {
            (self.say)(format!("{WRONG_MAX} wrong pairing codes: the code is {code} from now on"));
        }
        if !let_in {
            tokio::time::sleep(WRONG_AFTER).await;
            socket.send(Message::text(json!({ "event": "refused", "why": "wrong code" }).to_string())).await?;
            return Ok(socket.close(None).await?);
        }
        (self.say)("a page drives this phone".into());
        let mut events = self.events.subscribe();
        let token = self.door.borrow().token.clone();
        socket.send(Message::text(json!({ "event": "paired", "token": token }).to_string())).await?;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => socket.send(Message::text(event)).await?,
                    // Too far behind, or the phone is off.
                    Err(_) => return Ok(socket.close(None).await?),
                },
                message = socket.next() => {
                    let Some(message) = message.transpose()? else { return Ok(()) };
                    if let Message::Text(text) = message
                        && let Err(what) = self.order(text.as_bytes())
                    {
                        let fault = json!({ "event": "fault", "call": null, "what": what });
                        socket.send(Message::text(fault.to_string())).await?;
                    }
                }
            }
        }
    }

    fn order(&self, line: &[u8]) -> Result<(), String> {
        let order = orders::parse(line)?;
        self.orders.try_send(order).map_err(|_| "too many orders wait".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::Stream;
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    fn open() -> (Remote, Receiver<String>) {
        let (tell, told) = crossbeam_channel::unbounded();
        let say = move |what| drop(tell.send(what));
        let origins = vec!["https://desk.example.com".into()];
        (Remote::open(([127, 0, 0, 1], 0).into(), origins, Entropy::from_number(7), say).unwrap(), told)
    }

    fn within<T>(what: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time") })
    }

    async fn connect(
        remote: &Remote,
        origin: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Message, Error>> + SinkExt<Message, Error = Error> + Unpin + use<>, Error>
    {
        let mut request = format!("ws://{}", remote.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        let stream = TcpStream::connect(remote.address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
    }

    async fn next(socket: &mut (impl Stream<Item = Result<Message, Error>> + Unpin)) -> serde_json::Value {
        serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    #[test]
    fn a_page_that_shows_the_code_gives_orders_and_hears_events_and_comes_back_with_its_token() {
        let (remote, _told) = open();
        within(async {
            let mut page = connect(&remote, Some("https://desk.example.com")).await.unwrap();
            page.send(Message::text(json!({ "code": remote.code }).to_string())).await.unwrap();
            let paired = next(&mut page).await;
            assert_eq!(paired["event"], "paired");
            page.send(Message::text(r#"{"do":"mute","call":3,"on":true}"#)).await.unwrap();
            page.send(Message::text(r#"{"do":"dance"}"#)).await.unwrap();
            assert!(next(&mut page).await["what"].as_str().unwrap().contains("no command"));
            assert_eq!(remote.orders.recv_timeout(Duration::from_secs(5)).unwrap(), Order::Mute { call: 3, on: true });
            remote.tell(&json!({ "event": "incoming", "call": 4 }));
            assert_eq!(next(&mut page).await["call"], 4);
            let mut again = connect(&remote, None).await.unwrap();
            again.send(Message::text(json!({ "token": paired["token"] }).to_string())).await.unwrap();
            assert_eq!(next(&mut again).await["event"], "paired");
        });
    }

    #[test]
    fn other_sites_are_refused_and_five_wrong_codes_make_a_new_one() {
        let (remote, told) = open();
        within(async {
            let refused = connect(&remote, Some("https://evil.example.com")).await.err();
            assert!(matches!(&refused, Some(Error::Http(response)) if response.status() == 403), "{refused:?}");
            assert!(told.recv().unwrap().contains("evil.example.com"));
            for _ in 0..WRONG_MAX {
                let mut page = connect(&remote, None).await.unwrap();
                page.send(Message::text(r#"{"code":"12"}"#)).await.unwrap();
                assert_eq!(next(&mut page).await["event"], "refused");
            }
            assert!(told.recv().unwrap().contains("from now on"));
            let mut page = connect(&remote, None).await.unwrap();
            page.send(Message::text(json!({ "code": remote.code }).to_string())).await.unwrap();
            assert_eq!(next(&mut page).await["event"], "refused", "the old code is worth nothing");
        });
        assert!(Remote::open(([0, 0, 0, 0], 0).into(), vec![], Entropy::from_number(1), drop).is_err());
    }
}
