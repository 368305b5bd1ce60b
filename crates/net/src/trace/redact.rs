//! Masks what nobody who looks at signalling needs: the proofs of passwords, keys of media, keys that callers press, what phones
//! write to each other.
//!
//! The length stays, so that what is shown is still a message.

/// What stands in for a secret byte.
const MASK: u8 = b'*';

/// Headers with digest responses: to guess a password with them takes no network.
const PROOFS: [&[u8]; 4] =
    [b"authorization", b"proxy-authorization", b"authentication-info", b"proxy-authentication-info"];

/// Masks digest responses and credentials of relays in the head, and keys of SRTP (RFC 4568), passwords of ICE, pressed keys and texts in the body.
pub fn redact(message: &mut [u8]) {
    let text = message.starts_with(b"MESSAGE ");
    let mut lines = Lines { at: 0 };
    let (mut proof, mut secret) = (false, false);
    let mut digits = false;
    while let Some((start, end)) = lines.next(message) {
        let line = &mut message[start..end];
        if line.is_empty() {
            break;
        }
        if !matches!(line[0], b' ' | b'\t') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
            proof = PROOFS.iter().any(|known| name.eq_ignore_ascii_case(known));
            secret = name.eq_ignore_ascii_case(b"x-offhook-turn");
            let typed = name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"c");
            digits |= typed && find(line, b"application/dtmf").is_some();
            if text && (name.eq_ignore_ascii_case(b"subject") || name.eq_ignore_ascii_case(b"s")) {
                line.iter_mut().skip_while(|byte| **byte != b':').skip(1).for_each(|byte| *byte = MASK);
            }
        }
        if secret {
            line.iter_mut().skip_while(|byte| **byte != b':').skip(1).for_each(|byte| *byte = MASK);
        }
        if proof {
            mask_value(line, b"response");
            mask_value(line, b"rspauth");
        }
    }
    if text {
        let body = &mut message[lines.at..];
        return body.iter_mut().filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = MASK);
    }
    if digits {
        let body = &mut message[lines.at..];
        body.iter_mut().filter(|byte| byte.is_ascii_graphic()).for_each(|byte| *byte = MASK);
        return;
    }
    while let Some((start, end)) = lines.next(message) {
        let line = &mut message[start..end];
        if line.starts_with(b"a=crypto:") {
            if let Some(at) = find(line, b"inline:") {
                let key = line[at + 7..].iter_mut().take_while(|byte| !matches!(byte, b'|' | b' ' | b';'));
                key.for_each(|byte| *byte = MASK);
            }
        } else if line.starts_with(b"a=ice-pwd:") {
            line[10..].fill(MASK);
        }
    }
}

/// Masks the value of each parameter `name`, quoted or not.
fn mask_value(line: &mut [u8], name: &[u8]) {
    let mut from = 0;
    while let Some(at) = find(&line[from..], name) {
        let after = from + at + name.len();
        from = after;
        // `response-digest` and `xresponse` are other parameters.
        let begins = after == name.len() || !line[after - name.len() - 1].is_ascii_alphanumeric();
        let rest = &mut line[after..];
        let equals = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).filter(|at| rest[*at] == b'=');
        let Some(equals) = equals.filter(|_| begins) else { continue };
        let rest = &mut rest[equals + 1..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &mut rest[blank..] {
            [b'"', value @ ..] => value.iter_mut().take_while(|byte| **byte != b'"').for_each(|byte| *byte = MASK),
            value => value.iter_mut().take_while(|byte| !matches!(byte, b',' | b' ')).for_each(|byte| *byte = MASK),
        }
    }
}

/// Where `needle` (lower case) begins, whatever its case.
fn find(line: &[u8], needle: &[u8]) -> Option<usize> {
    line.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))
}

/// Cuts bytes into lines without holding them.
struct Lines {
    at: usize,
}

impl Lines {
    /// Start and end of the next line, without its end.
    fn next(&mut self, bytes: &[u8]) -> Option<(usize, usize)> {
        let start = self.at;
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        self.at = (start + length + 1).min(bytes.len());
        let end = start + length - usize::from(rest[..length].last() == Some(&b'\r'));
        Some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str) {
        let mut bytes = before.as_bytes().to_vec();
        redact(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), after);
    }

    #[test]
    fn proofs_of_passwords_are_masked_and_the_rest_stays() {
        check(
            "REGISTER sip:x SIP/2.0\r\nAuthorization: Digest username=\"response\", nonce=\"n\", response=\"00ff\", qop=auth\r\n\r\n",
            "REGISTER sip:x SIP/2.0\r\nAuthorization: Digest username=\"response\", nonce=\"n\", response=\"****\", qop=auth\r\n\r\n",
        );
        check(
            "A b SIP/2.0\r\nproxy-authorization : Digest a=b,\r\n\tRESPONSE = 00ff,x=y\r\nX: response=\"1\"\r\n\r\n",
            "A b SIP/2.0\r\nproxy-authorization : Digest a=b,\r\n\tRESPONSE = ****,x=y\r\nX: response=\"1\"\r\n\r\n",
        );
        check(
            "SIP/2.0 200 OK\r\nX-Offhook-Turn: {\"a\":1}\r\nX: y\r\n\r\n",
            "SIP/2.0 200 OK\r\nX-Offhook-Turn:********\r\nX: y\r\n\r\n",
        );
        check("A b SIP/2.0\nAuthorization: response=\"unclosed", "A b SIP/2.0\nAuthorization: response=\"********");
    }

    #[test]
    fn keys_of_media_and_pressed_keys_are_masked_in_the_body() {
        check(
            "A b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\na=crypto:1 AES inline:c2VjcmV0|2^20\r\na=ice-pwd:abc\r\nm=audio\r\n",
            "A b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\na=crypto:1 AES inline:********|2^20\r\na=ice-pwd:***\r\nm=audio\r\n",
        );
        check(
            "INFO b SIP/2.0\r\nc: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=160\r\n",
            "INFO b SIP/2.0\r\nc: application/dtmf-relay\r\n\r\n********\r\n************\r\n",
        );
    }

    #[test]
    fn texts_are_masked_with_their_subject() {
        check(
            "MESSAGE b SIP/2.0\r\nSubject: lunch\r\nc: text/plain\r\n\r\nüber Mittag?\r\n",
            "MESSAGE b SIP/2.0\r\nSubject:******\r\nc: text/plain\r\n\r\n***** *******\r\n",
        );
        check("INVITE b SIP/2.0\r\nSubject: lunch\r\n\r\nv=0\r\n", "INVITE b SIP/2.0\r\nSubject: lunch\r\n\r\nv=0\r\n");
    }

    #[test]
    fn rubbish_is_left_alone_and_never_panics() {
        for text in ["", "\n", "\r\n\r\n", "Authorization", "x\nAuthorization:response", "x\nAuthorization: response="]
        {
            check(text, text);
        }
    }
}
