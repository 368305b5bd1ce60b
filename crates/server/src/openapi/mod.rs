//! The description of the API, OpenAPI 3.1, made of the types that answers are made of and of the table of routes.
//!
//! [`operations`] says what each route takes and gives; which right it needs is looked up in [`crate::ROUTES`]. A test asks a running
//! server all of it, and `docs/openapi.json` is held against it.

mod desk;
mod operations;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::page;
use crate::problem::Problem;
use crate::users::{Needed, needed};
use crate::webhooks::{self, WebhookEvent};

use self::operations::{Answer, Operation, Parameter};

/// Errors that every guarded operation may answer.
const GUARDED: [u16; 5] = [401, 403, 421, 429, 503];
/// What an operation that everybody may ask answers beside its own.
const OPEN: [u16; 2] = [421, 429];

/// Each error by its name in `components`, and what it means.
const PROBLEMS: [(u16, &str, &str); 17] = [
    (
        400,
        "BadRequest",
        "The address, a parameter or the body is not what it should be; `detail` says what to write instead.",
    ),
    (401, "Unauthorized", "Nobody is signed in, or the token is not known."),
    (403, "Forbidden", "Who asks lacks the right, or a page of another site sends a command with a session's cookie."),
    (404, "NotFound", "There is no such thing, or not any more."),
    (409, "Conflict", "The state of things does not allow it now."),
    (410, "Gone", "It was there, and is not kept any more."),
    (412, "PreconditionFailed", "It is not as it was any more; fetch it anew."),
    (413, "ContentTooLarge", "The body has more than 16 KiB; of a configuration, more than 8 MiB."),
    (415, "UnsupportedMediaType", "The body is not declared as `application/json`."),
    (416, "RangeNotSatisfiable", "The range lies beyond the end; `Content-Range` tells the length."),
    (421, "MisdirectedRequest", "Without a token or a user the server answers to `localhost` and to addresses only."),
    (
        422,
        "UnprocessableContent",
        "The body is JSON of another shape than the one described here, or what it holds has faults.",
    ),
    (426, "UpgradeRequired", "This address speaks WebSocket only."),
    (428, "PreconditionRequired", "`If-Match` is missing: it says what is to be replaced."),
    (429, "TooManyRequests", "Too many requests; `Retry-After` says in how many seconds the next one is looked at."),
    (500, "Broken", "A file or a key of the exchange is not what it should be: the operator's move."),
    (
        503,
        "Unavailable",
        "The exchange gave no answer in time, or there are too many at once; ask again after `Retry-After`.",
    ),
];

/// The document, as pretty JSON that ends with a line break.
pub fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{:#}\n", value()))
}

/// `GET /api/v1/openapi.json`.
pub async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

/// `GET /api/docs`: the same to be read by people.
pub async fn docs(headers: HeaderMap) -> Response {
    page::file("api.html", &headers)
}

/// Shapes of answers, and of bodies of requests: the same type could be required to have a field in one and not in the other.
struct Schemas {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            answers: settings().for_serialize().into_generator(),
            bodies: settings().for_deserialize().into_generator(),
        }
    }

    fn answer<T: JsonSchema>(&mut self) -> Schema {
        self.answers.subschema_for::<T>()
    }

    fn body<T: JsonSchema>(&mut self) -> Schema {
        self.bodies.subschema_for::<T>()
    }

    /// The fields of `T` as parameters of a query.
    fn query<T: JsonSchema>(&mut self) -> Vec<Parameter> {
        let schema = T::json_schema(&mut self.bodies);
        let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        fields.into_iter().map(|(name, field)| Parameter::query(name, field)).collect()
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.answers.take_definitions(true);
        for (name, schema) in self.bodies.take_definitions(true) {
            let twice = all.insert(name, schema);
            debug_assert!(twice.is_none(), "two types of one name");
        }
        all
    }
}

fn value() -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.answer::<Problem>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations::all(&mut schemas) {
        let method = operation.method.as_str().to_ascii_lowercase();
        paths.entry(operation.path).or_default().insert(method, described(operation));
    }
    let webhooks: Map<String, Value> = WebhookEvent::ALL.iter().map(|kind| webhook(kind, &mut schemas)).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Offhook",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The exchange: who waits, who talks, what was recorded, and the commands of its page.",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This exchange" }],
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": schemas.definitions(),
            "responses": responses(&problem),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `[http]` or of a `[[token]]` in the configuration.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": crate::guard::COOKIE,
                    "description": "What `POST /api/v1/session` gives to a browser. Commands with it come from a page of the exchange only.",
                },
            },
        },
    })
}

/// What a receiver of `[[webhook]]` is sent.
fn webhook((kind, name): &(WebhookEvent, &'static str), schemas: &mut Schemas) -> (String, Value) {
    let data = webhooks::schema_of(*kind, &mut schemas.answers);
    let message = json!({
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": { "type": "string", "const": name },
            "timestamp": { "type": "string", "format": "date-time", "description": "When it happened." },
            "data": data,
        },
    });
    let header = |name: &str, meaning: &str| json!({ "in": "header", "name": name, "required": true, "description": meaning, "schema": { "type": "string" } });
    let parameters = [
        header("webhook-id", "The same for each attempt: what has come before is passed over."),
        header("webhook-timestamp", "When the attempt was made, in seconds since 1970; it is signed, too."),
        header(
            "webhook-signature",
            "`v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in Base64 (standardwebhooks.com).",
        ),
    ];
    let post = json!({
        "summary": format!("`{name}`"),
        "parameters": parameters,
        "requestBody": { "required": true, "content": { "application/json": { "schema": message } } },
        "responses": { "2XX": { "description": "It is taken. With any other answer it is tried again, for a day." } },
    });
    ((*name).to_owned(), json!({ "post": post }))
}

const ABOUT: &str = "Ids are strings and never reused; instants are RFC 3339 in UTC; lengths of time are whole milliseconds. \
Fields may be added to answers at any time: pass over what you do not know. A field that has no value is null. \
Unknown fields of bodies and of queries are refused, so that a misspelt one is not silently without effect. \
Each token, session and address has a quota; `RateLimit-Policy` and `RateLimit` tell of it. \
Every error is a problem of RFC 9457, `application/problem+json`, whose `detail` says what to do. \
What a role may do stands with each operation as the right that it needs; `GET /api/v1/session` tells your own.";

fn responses(problem: &Schema) -> Map<String, Value> {
    let retry =
        json!({ "Retry-After": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } } });
    let response = |(status, name, meaning): &(u16, &str, &str)| {
        let mut response =
            json!({ "description": meaning, "content": { "application/problem+json": { "schema": problem } } });
        if matches!(status, 429 | 503) {
            response["headers"] = retry.clone();
        }
        ((*name).to_owned(), response)
    };
    PROBLEMS.iter().map(response).collect()
}

fn described(operation: Operation) -> Value {
    let Operation { method, path, id, tag, summary, notes, mut parameters, body, answers, refusals } = operation;
    let right = right_of(&method, path);
    let named = |status: u16| PROBLEMS.iter().find(|(of, ..)| *of == status).map(|(_, name, _)| *name);
    let mut responses = Map::new();
    let mut refuse = |status: u16| {
        if let Some(name) = named(status) {
            responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
        }
    };
    let always = if right.is_some() { &GUARDED[..] } else { &OPEN[..] };
    for status in always {
        refuse(*status);
    }
    if !parameters.is_empty() {
        refuse(400);
    }
    // Guarded commands may carry a key.
    if right.is_some() && method != Method::GET {
        parameters.push(Parameter::idempotency_key());
        [400, 409, 413, 422].into_iter().for_each(&mut refuse);
    }
    if body.is_some() {
        [400, 413, 415, 422].into_iter().for_each(&mut refuse);
    }
    refusals.into_iter().for_each(&mut refuse);
    for Answer { status, meaning, content, headers } in answers {
        // The same answer may come in more than one shape.
        let known = responses.remove(&status.to_string());
        let mut response = known.unwrap_or_else(|| json!({ "description": meaning }));
        if let Some((kind, schema)) = content {
            response["content"][kind] = json!({ "schema": schema });
        }
        for (name, meaning) in headers {
            response["headers"][name] = json!({ "description": meaning, "schema": { "type": "string" } });
        }
        responses.insert(status.to_string(), response);
    }
    parameters.splice(0..0, path_parameters(path));
    let mut described = json!({ "operationId": id, "tags": [tag], "summary": summary, "responses": responses });
    let needs = right.map(|right| format!("Needs the right `{right}`."));
    let description: Vec<String> = notes.map(ToOwned::to_owned).into_iter().chain(needs).collect();
    if !description.is_empty() {
        described["description"] = description.join(" ").into();
    }
    match right {
        Some(right) => {
            described["x-right"] = right.into();
            described["security"] = json!([{ "token": [] }, { "session": [] }]);
        }
        None => described["security"] = json!([]),
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into_iter().map(Parameter::described).collect();
    }
    if let Some(schema) = body {
        described["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    described
}

/// The name of the right that an operation needs.
fn right_of(method: &Method, path: &str) -> Option<&'static str> {
    match needed(method, path) {
        Needed::Right(right) => Some(right.name()),
        Needed::OtherMethod | Needed::Unknown => None,
    }
}

/// What stands in braces in `path`.
fn path_parameters(path: &str) -> Vec<Parameter> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| Parameter::path(path, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::ROUTES;

    fn documented() -> Vec<(String, String)> {
        let value = value();
        let paths = value["paths"].as_object().expect("paths").clone();
        let of = |(path, methods): (String, Value)| {
            let methods = methods.as_object().expect("methods").clone();
            methods.into_iter().map(move |(method, _)| (path.clone(), method.to_uppercase())).collect::<Vec<_>>()
        };
        paths.into_iter().flat_map(of).collect()
    }

    #[test]
    fn each_guarded_route_is_described_and_each_described_route_is_guarded_or_open_on_purpose() {
        let documented = documented();
        for (method, path, _) in &ROUTES {
            assert!(documented.contains(&((*path).to_owned(), method.to_string())), "{method} {path}");
        }
        let open: Vec<_> = documented
            .iter()
            .filter(|(path, method)| !ROUTES.iter().any(|(of, at, _)| at == path && of.as_str() == method))
            .map(|(path, method)| format!("{method} {path}"))
            .collect();
        let expected = [
            "GET /api/v1/openapi.json",
            "DELETE /api/v1/session",
            "GET /api/v1/session",
            "POST /api/v1/session",
            "GET /api/v1/visitors/{entrance}",
            "POST /api/v1/visitors/{entrance}",
            "GET /healthz",
            "GET /phone/settings",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_shape_is_used() {
        let value = value();
        let text = value.to_string();
        let mut referenced: Vec<&str> = text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        referenced.sort_unstable();
        referenced.dedup();
        for pointer in &referenced {
            assert!(value.pointer(&format!("/{pointer}")).is_some(), "{pointer}");
        }
        for name in value["components"]["schemas"].as_object().expect("schemas").keys() {
            assert!(referenced.contains(&format!("components/schemas/{name}").as_str()), "{name} is unused");
            assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "{name}: two types want one name");
        }
    }

    #[test]
    fn docs_openapi_json_is_what_the_code_makes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::write(file, document()).expect("docs/openapi.json can be written");
        }
        let kept = std::fs::read_to_string(file).expect("docs/openapi.json");
        let kept: Value = serde_json::from_str(&kept).expect("JSON");
        let advice = "`offhook api > docs/openapi.json`, or this test with UPDATE_FIXTURES=1, writes it anew";
        assert!(kept == value(), "the API is not what docs/openapi.json says: {advice}");
    }
}
