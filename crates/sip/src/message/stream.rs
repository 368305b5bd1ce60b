//! A byte stream cut into messages by Content-Length (RFC 3261 section 18.3), with the keep-alives between them (RFC 5626).

use super::parse::{frame_total, head_end};
use super::{Fault, MESSAGE_BYTES_MAX, Message, ParseError};

/// What a buffer keeps between messages: thousands of silent connections cost little, however long a message they once sent.
const KEPT_BYTES: usize = 4 * 1024;

/// What a stream holds next.
#[derive(Debug)]
pub enum Frame {
    /// A double line break: answer it with a single one (RFC 5626 section 4.4.1).
    Ping,
    /// A message.
    Message(Box<Message>),
    /// A whole message that is malformed; the stream goes on behind it.
    Malformed(Box<ParseError>),
}

/// Cuts one connection's bytes into messages. It holds at most one message and what was pushed behind it.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes at the buffer's start that were given out.
    taken: usize,
    /// Where the last message lies; it ends at `taken`.
    last: usize,
    /// Bytes behind `taken` that hold no end of a head.
    searched: usize,
    /// How long the first message is, once its head is there.
    total: Option<usize>,
}

impl Framer {
    /// With nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// More bytes came. Take all frames out before the next ones, so that the buffer stays small.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        (self.taken, self.last) = (0, 0);
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEPT_BYTES);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun that is not all there: a sender may not take for ever to finish it.
    pub fn is_partial(&self) -> bool {
        self.rest().iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// The next frame; nothing while more bytes are needed.
    ///
    /// # Errors
    /// The stream can no longer be cut into messages: answer what is salvaged and close the connection.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Box<ParseError>> {
        if self.total.is_none() && self.searched == 0 {
            match self.rest() {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.taken += 4;
                    return Ok(Some(Frame::Ping));
                }
                // The first half of a ping, or the answer to one of ours.
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Ok(None),
                _ => self.skip_line_breaks(),
            }
        }
        let Some(total) = self.total()? else { return Ok(None) };
        let rest = self.rest();
        if rest.len() < total {
            return Ok(None);
        }
        let frame = match Message::parse(&rest[..total]) {
            Ok(message) => Frame::Message(Box::new(message)),
            Err(error) => Frame::Malformed(Box::new(error)),
        };
        self.last = self.taken;
        self.taken += total;
        (self.searched, self.total) = (0, None);
        Ok(Some(frame))
    }

    /// The bytes of the message that was taken out last, until something else is done.
    pub fn last(&self) -> &[u8] {
        &self.buffer[self.last..self.taken]
    }

    /// How long the first message is, head and body. The head is looked at once, however its bytes trickle in.
    fn total(&mut self) -> Result<Option<usize>, Box<ParseError>> {
        if self.total.is_none() {
            // An empty line may begin in what was searched before: at most three bytes of it.
            let (from, rest) = (self.searched.saturating_sub(3), self.rest());
            if head_end(&rest[from..]).is_none() {
                if rest.len() > MESSAGE_BYTES_MAX {
                    return Err(Box::new(ParseError { fault: Fault::TooLarge, offset: 0, salvaged: None }));
                }
                self.searched = rest.len();
                return Ok(None);
            }
            self.total = frame_total(rest)?;
        }
        Ok(self.total)
    }

    fn skip_line_breaks(&mut self) {
        self.taken += self.rest().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        format!(
            "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn frames(framer: &mut Framer) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(frame) = framer.next_frame().expect("a stream that can be cut") {
            out.push(match frame {
                Frame::Ping => "ping".to_owned(),
                Frame::Message(message) => {
                    assert!(framer.last().starts_with(b"MESSAGE ") && framer.last().ends_with(message.body()));
                    String::from_utf8_lossy(message.body()).into_owned()
                }
                Frame::Malformed(error) => format!("malformed: {}", error.fault),
            });
        }
        out
    }

    #[test]
    fn two_messages_a_ping_and_a_pong_come_out_whole_however_they_are_cut() {
        let stream = format!("\r\n\r\n{}\r\n{}\r\n\r\n", message("one"), message("two\r\n\r\ntwo"));
        for size in [1, 2, 3, 7, 100, stream.len()] {
            let (mut framer, mut seen) = (Framer::new(), Vec::new());
            for piece in stream.as_bytes().chunks(size) {
                framer.push(piece);
                seen.extend(frames(&mut framer));
            }
            assert_eq!(seen, ["ping", "one", "two\r\n\r\ntwo", "ping"], "in pieces of {size}");
            assert!(!framer.is_partial());
        }
    }

    #[test]
    fn a_message_is_partial_until_its_last_byte() {
        let (mut framer, text) = (Framer::new(), message("body"));
        framer.push(&text.as_bytes()[..text.len() - 1]);
        assert!(frames(&mut framer).is_empty() && framer.is_partial());
        framer.push(&text.as_bytes()[text.len() - 1..]);
        assert_eq!(frames(&mut framer), ["body"]);
        assert!(!framer.is_partial());
    }

    #[test]
    fn a_malformed_message_of_known_length_leaves_the_stream_alive() {
        let mut framer = Framer::new();
        framer.push(message("bad").replace("CSeq: 1 MESSAGE", "CSeq: one").as_bytes());
        framer.push(message("good").as_bytes());
        let seen = frames(&mut framer);
        assert!(seen[0].starts_with("malformed") && seen[1] == "good", "{seen:?}");
    }

    #[test]
    fn a_stream_without_content_length_or_without_end_is_given_up() {
        let mut framer = Framer::new();
        framer.push(message("").replace("Content-Length: 0\r\n", "").as_bytes());
        assert!(framer.next_frame().expect_err("cannot be cut").salvaged.is_some());
        let mut framer = Framer::new();
        framer.push(&vec![b'a'; MESSAGE_BYTES_MAX + 1]);
        assert_eq!(framer.next_frame().expect_err("never ends").fault, Fault::TooLarge);
    }
}
