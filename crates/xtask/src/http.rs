//! Just enough HTTP to ask the exchange: one request a connection, and its stream of live events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

fn request(server: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<BufReader<TcpStream>> {
    request_with(server, method, path, "", body)
}

/// With more lines of the head.
fn request_with(
    server: SocketAddr,
    method: &str,
    path: &str,
    more: &str,
    body: Option<&Value>,
) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&server, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    // HTTP/1.0: the body ends with the connection and is never chunked.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {server}\r\nAccept: */*\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    (&stream).write_all(format!("{head}{body}").as_bytes())?;
    Ok(BufReader::new(stream))
}

fn status_of(reader: &mut impl BufRead) -> Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status =
        line.split_whitespace().nth(1).and_then(|s| s.parse().ok()).with_context(|| format!("HTTP says {line:?}"))?;
    while {
        line.clear();
        reader.read_line(&mut line)? > 2
    } {}
    Ok(status)
}

/// Asks and gives status and body.
pub fn ask(server: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String)> {
    let mut reader = request(server, method, path, body)?;
    let status = status_of(&mut reader)?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok((status, text))
}

/// As [`get`], with a token.
pub fn get_as(server: SocketAddr, token: &str, path: &str) -> Result<Value> {
    let mut reader = request_with(server, "GET", path, &format!("Authorization: Bearer {token}\r\n"), None)?;
    let status = status_of(&mut reader)?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    if status != 200 {
        bail!("GET http://{server}{path}: {status} {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
}

/// Sends a command with a token, which has to be taken.
pub fn post_as(server: SocketAddr, token: &str, path: &str, body: &Value) -> Result<()> {
    let mut reader = request_with(server, "POST", path, &format!("Authorization: Bearer {token}\r\n"), Some(body))?;
    let status = status_of(&mut reader)?;
    if !(200..300).contains(&status) {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        bail!("POST http://{server}{path}: {status} {text}");
    }
    Ok(())
}

/// The first line of the answer to a GET over TLS, asked for with `openssl`; certificates are not looked at.
pub fn ask_over_tls(server: SocketAddr, path: &str) -> Result<String> {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", &server.to_string()]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().context("openssl s_client")?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n");
    client.stdin.take().context("standard input")?.write_all(request.as_bytes())?;
    let answer = client.wait_with_output()?;
    Ok(String::from_utf8_lossy(&answer.stdout).lines().next().unwrap_or_default().to_owned())
}

/// A file.
pub fn file(server: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut reader = request(server, "GET", path, None)?;
    let status = status_of(&mut reader)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    if status != 200 {
        bail!("GET http://{server}{path}: {status}");
    }
    Ok(bytes)
}

/// A JSON answer to a GET.
pub fn get(server: SocketAddr, path: &str) -> Result<Value> {
    let (status, text) = ask(server, "GET", path, None).with_context(|| format!("GET http://{server}{path}"))?;
    if status != 200 {
        bail!("GET http://{server}{path}: {status} {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
}

/// The rows of a list, whether the answer is a bare array or holds one.
pub fn rows(server: SocketAddr, path: &str) -> Result<Vec<Value>> {
    match get(server, path)? {
        Value::Array(rows) => Ok(rows),
        Value::Object(mut whole) => {
            let list = whole.iter_mut().find_map(|(_, v)| v.as_array_mut()).context("an answer with a list")?;
            Ok(std::mem::take(list))
        }
        other => bail!("GET {path}: {other}"),
    }
}

/// Name and data of each live event (server-sent events), until either side ends.
pub fn events(server: SocketAddr, path: &str) -> Result<Receiver<(String, Value)>> {
    let mut reader = request(server, "GET", path, None)?;
    let status = status_of(&mut reader)?;
    if status != 200 {
        bail!("GET {path}: {status}");
    }
    reader.get_ref().set_read_timeout(None)?;
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut name = String::new();
        for line in reader.lines().map_while(Result::ok) {
            if let Some(text) = line.strip_prefix("event:") {
                text.trim().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data:")
                && let Ok(value) = serde_json::from_str(data.trim())
                && send.send((std::mem::take(&mut name), value)).is_err()
            {
                break;
            }
        }
    });
    Ok(receive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn events_are_read_as_they_come() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 512];
            assert!(stream.read(&mut head).expect("its request") > 0);
            stream
                .write_all(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nid: 1\nevent: call\ndata: {\"n\":1}\n\n: ping\n\ndata: {\"n\":2}\n\n")
                .expect("sent");
        });
        let events = events(server, "/e").expect("a stream");
        let read: Vec<(String, u64)> = events.iter().filter_map(|(name, e)| Some((name, e["n"].as_u64()?))).collect();
        assert_eq!(read, [("call".to_owned(), 1), (String::new(), 2)]);
    }
}
