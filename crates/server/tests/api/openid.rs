//! Signing in at a provider, which is made up and signs whatever it is told to; and sessions that outlive a restart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use offhook_server::{Metrics, OpenId, OpenIdAt, PhoneSettings, Role, Server, ServerOptions, User, Webhooks, events};
use offhook_units::AgentId;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::support::{Fixed, NOW, shared};
use super::users::{ask, cookie_of, staff};
use super::{REQUESTS_PER_S, Reply, Running};

/// A provider.
#[derive(Clone)]
struct Provider {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

/// What it gives for the one code that it knows.
struct Told {
    key: EcdsaKeyPair,
    /// The hash of the verifier that has to come with the code.
    challenge: String,
    header: Value,
    claims: Value,
    /// What was posted to it last.
    form: BTreeMap<String, String>,
    authorization: Option<String>,
}

fn key() -> EcdsaKeyPair {
    let chance = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &chance).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &chance).expect("a key")
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Told {
    fn token(&self) -> String {
        let [header, claims] = [&self.header, &self.claims].map(|part| encoded(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).expect("signed");
        format!("{message}.{}", encoded(signature))
    }
}

/// The pairs of a query or form whose values are plain, but for `%` of what we send ourselves.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let plain = |value: &str| value.replace("%3A", ":").replace("%2F", "/").replace("%20", " ");
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), plain(v))).collect()
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let header = json!({ "alg": "ES256", "kid": "1" });
        let told = Told {
            key: key(),
            challenge: String::new(),
            header,
            claims: Value::Null,
            form: BTreeMap::new(),
            authorization: None,
        };
        let provider = Self { address, told: Arc::new(Mutex::new(told)) };
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        provider
    }

    fn issuer(&self) -> String {
        format!("http://{}/house", self.address)
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let of = |name: &str| {
            let line =
                head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
            line.map(|(_, value)| value.to_owned())
        };
        let length = of("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body");
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (status, answer) = self.answer(path, of("authorization"), &String::from_utf8_lossy(&body));
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", answer.len());
        let _gone = stream.write_all(format!("{head}\r\n\r\n{answer}").as_bytes()).await;
    }

    fn answer(&self, path: &str, authorization: Option<String>, body: &str) -> (&'static str, Value) {
        let issuer = self.issuer();
        let mut told = self.told.lock().expect("no panic before");
        match path {
            "/house/.well-known/openid-configuration" => {
                let at = |path: &str| format!("{issuer}{path}");
                let told = json!({
                    "issuer": issuer, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
                    "jwks_uri": at("/keys"), "end_session_endpoint": at("/end"),
                });
                ("200 OK", told)
            }
            "/house/keys" => {
                let point = told.key.public_key().as_ref();
                let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
                ("200 OK", json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y }] }))
            }
            "/house/token" => {
                told.form = pairs(body);
                told.authorization = authorization;
                let verifier = told.form.get("code_verifier").map_or("", String::as_str);
                let proved = encoded(Sha256::digest(verifier)) == told.challenge;
                if !proved || told.form.get("code").map(String::as_str) != Some("the-code") {
                    return ("400 Bad Request", json!({ "error": "invalid_grant" }));
                }
                ("200 OK", json!({ "id_token": told.token(), "access_token": "a", "token_type": "Bearer" }))
            }
            _ => ("404 Not Found", Value::Null),
        }
    }

    fn openid(&self) -> OpenId {
        let secret = Some("staple:battery".to_owned());
        OpenId {
            at: OpenIdAt::new(&self.issuer(), "offhook", secret, None).expect("a provider"),
            title: "House account".to_owned(),
            address: "http://localhost".to_owned(),
            scopes: vec!["groups".to_owned()],
            user_claim: "sub".to_owned(),
            roles_claim: Some("groups".to_owned()),
            roles: BTreeMap::from([("leads".to_owned(), vec![Role::Supervisor])]),
            agent_claim: Some("desk".to_owned()),
        }
    }
}

/// A server on a view that there may have been servers on before.
async fn start_on(view: &Arc<Fixed>, users: Vec<User>, openid: Option<OpenId>) -> Running {
    let (events, receiver) = events();
    let options = ServerOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: None,
        tokens: Vec::new(),
        users,
        openid,
        entrances: Vec::new(),
        tls: None,
        phone: PhoneSettings::default(),
        requests_per_s: REQUESTS_PER_S,
        webhooks: Webhooks::default(),
    };
    let view = Arc::clone(view);
    let server = Server::start(options, Arc::clone(&view) as _, receiver, Metrics::new()).await.expect("a server");
    Running { server, view, events }
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The named cookie that a reply gives.
fn given(reply: &Reply, name: &str) -> Option<String> {
    let all = reply.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let pair = all.filter_map(|line| line.split(';').next()).find(|pair| pair.starts_with(&format!("{name}=")))?;
    (!pair.ends_with('=')).then(|| format!("Cookie: {pair}\r\n"))
}

/// A browser that was sent to the provider: its cookie, and what was asked there.
async fn begin(running: &Running, to: &str) -> (String, BTreeMap<String, String>) {
    // Heads are in small letters, which would change what is in them: the place is read as it is.
    let raw = running.raw(&format!("/sign-in/openid?to={to}")).await;
    assert!(raw.starts_with("HTTP/1.1 303"), "{raw}");
    let line = |name: &str| raw.lines().find_map(|line| line.strip_prefix(name)).expect(name).to_owned();
    let (_, query) = line("location: ").split_once('?').map(|(p, q)| (p.to_owned(), q.to_owned())).expect("a query");
    let cookie = line("set-cookie: ");
    assert!(cookie.contains("HttpOnly; SameSite=Lax") && cookie.contains("Path=/sign-in/openid;"), "{cookie}");
    (format!("Cookie: {}\r\n", cookie.split(';').next().expect("a pair")), pairs(&query))
}

impl Running {
    /// An answer as it is.
    async fn raw(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.server.local_addr()).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    }

    async fn come_back(&self, cookie: &str, state: &str) -> Reply {
        self.get_with(&format!("/sign-in/openid/return?code=the-code&state={state}"), cookie).await
    }
}

/// What a provider says that has nothing to hide.
fn claims(provider: &Provider, asked: &BTreeMap<String, String>) -> Value {
    let now = NOW.as_us() / 1_000_000;
    json!({
        "iss": provider.issuer(), "aud": "offhook", "sub": "Ann 7", "nonce": asked["nonce"], "iat": now, "exp": now + 60,
        "groups": ["leads", "others"], "desk": "bob",
    })
}

fn tell(provider: &Provider, asked: &BTreeMap<String, String>, claims: Value) {
    let mut told = provider.told.lock().expect("no panic before");
    asked["code_challenge"].clone_into(&mut told.challenge);
    told.claims = claims;
}

#[tokio::test]
async fn somebody_signs_in_at_the_provider_and_is_what_its_claims_say() {
    let provider = Provider::start().await;
    let view = shared(Fixed::centre(NOW));
    let running = start_on(&view, Vec::new(), Some(provider.openid())).await;
    let session = running.get("/api/v1/session").await.json();
    assert_eq!(session["ways"], json!(["openid"]));
    assert_eq!(session["provider"], json!({ "title": "House account", "path": "/sign-in/openid" }));
    assert_eq!(running.get("/api/v1/agents").await.status, 401, "a provider alone is no open door");

    let (cookie, asked) = begin(&running, "/desk").await;
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", "offhook"));
    assert_eq!((asked["scope"].as_str(), asked["code_challenge_method"].as_str()), ("openid groups", "S256"));
    assert_eq!(asked["redirect_uri"], "http://localhost/sign-in/openid/return");
    tell(&provider, &asked, claims(&provider, &asked));
    let reply = running.come_back(&cookie, &asked["state"]).await;
    assert_eq!((reply.status, header(&reply, "location")), (303, Some("/desk")), "{}", reply.head);
    assert!(reply.head.contains("httponly; samesite=strict"), "{}", reply.head);
    let own = given(&reply, "offhook-session").expect("a session");
    {
        let told = provider.told.lock().expect("no panic before");
        assert_eq!(told.authorization.as_deref(), Some("Basic b2ZmaG9vazpzdGFwbGUlM0FiYXR0ZXJ5"));
        assert_eq!(told.form["redirect_uri"], "http://localhost/sign-in/openid/return");
    }
    let session = running.get_with("/api/v1/session", &own).await.json();
    assert_eq!((&session["who"], &session["roles"]), (&json!("user Ann 7"), &json!(["supervisor"])));
    assert_eq!(session["agent"], json!({ "id": "a-2", "name": "bob" }));
    let entry = view.audit.lock().unwrap().last().cloned().expect("an entry");
    assert_eq!((entry.who.as_str(), entry.detail.as_str()), ("user Ann 7 from 127.0.0.1", "OpenID Connect"));

    let out = ask(&running, "DELETE", "/api/v1/session", &format!("{own}Sec-Fetch-Site: same-origin\r\n"), "").await;
    let place = out.json()["provider"].as_str().expect("a place").to_owned();
    let wanted = "/end?client_id=offhook&post_logout_redirect_uri=http%3A%2F%2Flocalhost%2F";
    assert_eq!(place, format!("{}{wanted}", provider.issuer()));
    running.server.shutdown().await;
}

#[tokio::test]
async fn what_was_sent_is_good_once_for_its_own_browser() {
    let provider = Provider::start().await;
    let running = start_on(&shared(Fixed::centre(NOW)), Vec::new(), Some(provider.openid())).await;
    let stale = Some("/#sign-in-stale");
    let (cookie, asked) = begin(&running, "/").await;
    tell(&provider, &asked, claims(&provider, &asked));
    // Somebody else's browser, led here with a code of the attacker's.
    let reply = running.come_back("", &asked["state"]).await;
    assert_eq!((header(&reply, "location"), given(&reply, "offhook-session")), (stale, None));
    let reply = running.come_back(&cookie, &asked["state"]).await;
    assert_eq!(header(&reply, "location"), Some("/"));
    assert!(given(&reply, "offhook-session").is_some());
    let again = running.come_back(&cookie, &asked["state"]).await;
    assert_eq!((header(&again, "location"), given(&again, "offhook-session")), (stale, None), "it is used up");
    let (cookie, asked) = begin(&running, "/").await;
    tell(&provider, &asked, claims(&provider, &asked));
    let other = running.come_back(&cookie, "another-state").await;
    assert_eq!((header(&other, "location"), given(&other, "offhook-session")), (stale, None));
    // It did not stay good for a second guess.
    assert_eq!(header(&running.come_back(&cookie, &asked["state"]).await, "location"), stale);
    assert_eq!(header(&running.get("/sign-in/openid/return").await, "location"), stale);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_token_that_is_not_in_order_signs_nobody_in() {
    let provider = Provider::start().await;
    let view = shared(Fixed::centre(NOW));
    let running = start_on(&view, Vec::new(), Some(provider.openid())).await;
    let now = NOW.as_us() / 1_000_000;
    let (real, forger) = (key(), key());
    provider.told.lock().expect("no panic before").key = real;
    for (name, value) in [
        ("iss", json!("https://id.test")),
        ("aud", json!("another")),
        ("nonce", json!("another")),
        ("exp", json!(now - 61)),
        ("iat", json!(now + 61)),
    ] {
        let (cookie, asked) = begin(&running, "/desk").await;
        let mut wrong = claims(&provider, &asked);
        wrong[name] = value;
        tell(&provider, &asked, wrong);
        let reply = running.come_back(&cookie, &asked["state"]).await;
        assert_eq!(header(&reply, "location"), Some("/desk#sign-in-failed"), "{name}");
        assert!(given(&reply, "offhook-session").is_none(), "{name}");
    }
    // No role: the provider knows them, the exchange does not.
    let (cookie, asked) = begin(&running, "/").await;
    let mut stranger = claims(&provider, &asked);
    stranger["groups"] = json!(["others"]);
    tell(&provider, &asked, stranger);
    let reply = running.come_back(&cookie, &asked["state"]).await;
    assert_eq!((header(&reply, "location"), given(&reply, "offhook-session")), (Some("/#sign-in-refused"), None));
    let entry = view.audit.lock().unwrap().last().cloned().expect("an entry");
    assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("sign-in refused", "user Ann 7"));
    // The keys are known by now; somebody else signs.
    let (cookie, asked) = begin(&running, "/").await;
    tell(&provider, &asked, claims(&provider, &asked));
    provider.told.lock().expect("no panic before").key = forger;
    let reply = running.come_back(&cookie, &asked["state"]).await;
    assert_eq!((header(&reply, "location"), given(&reply, "offhook-session")), (Some("/#sign-in-failed"), None));
    // And one that nobody signs.
    let (cookie, asked) = begin(&running, "/").await;
    tell(&provider, &asked, claims(&provider, &asked));
    provider.told.lock().expect("no panic before").header = json!({ "alg": "none" });
    let reply = running.come_back(&cookie, &asked["state"]).await;
    assert_eq!((header(&reply, "location"), given(&reply, "offhook-session")), (Some("/#sign-in-failed"), None));
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_user_of_the_configuration_signs_in_by_the_name_that_the_provider_has_for_it() {
    let provider = Provider::start().await;
    let carol = User {
        name: "carol".to_owned(),
        password: None,
        openid: Some("Ann 7".to_owned()),
        codes: None,
        roles: vec![Role::Agent],
        agent: Some((AgentId(3), "carol".to_owned())),
    };
    let users: Vec<User> = staff().into_iter().chain([carol]).collect();
    let running = start_on(&shared(Fixed::centre(NOW)), users, Some(provider.openid())).await;
    assert_eq!(running.get("/api/v1/session").await.json()["ways"], json!(["password", "openid"]));
    let (cookie, asked) = begin(&running, "/desk").await;
    tell(&provider, &asked, claims(&provider, &asked));
    let reply = running.come_back(&cookie, &asked["state"]).await;
    let own = given(&reply, "offhook-session").expect("a session");
    let session = running.get_with("/api/v1/session", &own).await.json();
    assert_eq!((&session["who"], &session["roles"]), (&json!("user carol"), &json!(["agent"])));
    // A password that nobody has given is nobody's.
    let wanted = json!({ "name": "carol", "password": "nobody has this password" }).to_string();
    running.post("/api/v1/session", &wanted).await.check_problem(401);
    running.server.shutdown().await;
}

#[tokio::test]
async fn sessions_outlive_a_restart_until_they_are_ended_or_their_user_changes() {
    let provider = Provider::start().await;
    let view = shared(Fixed::centre(NOW));
    let first = start_on(&view, staff(), Some(provider.openid())).await;
    let [alice, bob, bob_again] =
        [cookie_of(&first, "alice").await, cookie_of(&first, "bob").await, cookie_of(&first, "bob").await];
    let (cookie, asked) = begin(&first, "/").await;
    tell(&provider, &asked, claims(&provider, &asked));
    let made = given(&first.come_back(&cookie, &asked["state"]).await, "offhook-session").expect("a session");
    let own = format!("{bob_again}Sec-Fetch-Site: same-origin\r\n");
    assert_eq!(ask(&first, "DELETE", "/api/v1/session", &own, "").await.status, 204);
    let kept = format!("{:?}", view.sessions.lock().unwrap().values().collect::<Vec<_>>());
    for cookie in [&alice, &bob, &made] {
        let value = cookie.trim_end().rsplit('=').next().expect("a value");
        assert!(!kept.contains(value), "the cookie itself is kept");
    }
    first.server.shutdown().await;

    let second = start_on(&view, staff(), Some(provider.openid())).await;
    let who =
        async |running: &Running, cookie: &str| running.get_with("/api/v1/session", cookie).await.json()["who"].clone();
    assert_eq!(who(&second, &alice).await, "user alice");
    assert_eq!(who(&second, &bob).await, "user bob");
    assert_eq!(who(&second, &made).await, "user Ann 7");
    assert_eq!(who(&second, &bob_again).await, Value::Null, "who has signed out stays out");
    second.server.shutdown().await;

    // Bob is an auditor now, and the provider's leads are operators.
    let changed: Vec<User> = staff()
        .into_iter()
        .map(|user| if user.name == "bob" { User { roles: vec![Role::Auditor], ..user } } else { user })
        .collect();
    let roles = BTreeMap::from([("leads".to_owned(), vec![Role::Operator])]);
    let third = start_on(&view, changed, Some(OpenId { roles, ..provider.openid() })).await;
    assert_eq!(who(&third, &alice).await, "user alice");
    assert_eq!((who(&third, &bob).await, who(&third, &made).await), (Value::Null, Value::Null));
    third.server.shutdown().await;
    let late = NOW + offhook_units::Span::from_s(10 * 3_600 + 60);
    let sessions = std::mem::take(&mut *view.sessions.lock().unwrap());
    assert_eq!(sessions.len(), 1, "what is over is forgotten");
    let later = shared(Fixed { sessions: Mutex::new(sessions), ..Fixed::centre(late) });
    let fourth = start_on(&later, staff(), None).await;
    assert_eq!(who(&fourth, &alice).await, Value::Null, "nobody used it for ten hours");
    fourth.server.shutdown().await;
}
