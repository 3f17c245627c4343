//! A client without manners: it sends any bytes, and reads answers of RESP2 and RESP3.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::super::ground::PASSWORD;

/// So long as an engine may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// What comes back; types that no test tells apart are one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Error(String),
    Text(Vec<u8>),
    Number(i64),
    Many(Vec<Self>),
    Nothing,
}

impl Answer {
    pub(super) fn error(&self) -> Option<&str> {
        if let Self::Error(error) = self { Some(error) } else { None }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        if let Self::Text(text) = self { text } else { panic!("not a text: {self:?}") }
    }

    pub(super) fn text(self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(super) fn items(self) -> Vec<Self> {
        if let Self::Many(items) = self { items } else { panic!("not a list: {self:?}") }
    }

    pub(super) fn number(&self) -> i64 {
        if let Self::Number(number) = self { *number } else { panic!("not a number: {self:?}") }
    }
}

pub(super) struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects and says nothing.
    pub(super) fn stranger(address: impl Into<SocketAddr>) -> Self {
        Self::try_stranger(address).unwrap()
    }

    pub(super) fn try_stranger(address: impl Into<SocketAddr>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address.into())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Connects and logs in with the password.
    pub(super) fn tenant(address: impl Into<SocketAddr>) -> Self {
        let mut wire = Self::stranger(address);
        assert_eq!(wire.ask(&["AUTH", PASSWORD]), Answer::Text(b"OK".to_vec()));
        wire
    }

    /// Sends bytes as they are. One that hung up takes none; that shows when it is read from.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Sends no more, so that one that waits for the rest of something hangs up.
    pub(super) fn end(&mut self) {
        let _ = self.0.get_mut().shutdown(std::net::Shutdown::Write);
    }

    /// Sends a command as an array of texts.
    pub(super) fn say(&mut self, words: &[impl AsRef<[u8]>]) {
        self.send(&array(words));
    }

    /// Sends a command and reads the answer. The engine has to answer.
    pub(super) fn ask(&mut self, words: &[impl AsRef<[u8]>]) -> Answer {
        self.say(words);
        self.answer().expect("it hung up")
    }

    /// The first line of the next answer as it is on the wire, or nothing if it hung up. A master
    /// sends empty lines to a replica that waits.
    pub(super) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = Vec::new();
            match self.0.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.ends_with(b"\n") => {}
                Ok(_) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if !line.is_empty() {
                return Some(line.to_owned());
            }
        }
    }

    /// The next answer, or nothing if it hung up.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        let line = self.line()?;
        let (kind, rest) = line.split_at(1);
        Some(match kind {
            "-" => Answer::Error(rest.to_owned()),
            "+" | "," | "#" | "(" => Answer::Text(rest.as_bytes().to_vec()),
            ":" => Answer::Number(rest.parse().unwrap()),
            "_" => Answer::Nothing,
            _ => {
                let Ok(length) = usize::try_from(rest.parse::<i64>().unwrap()) else {
                    return Some(Answer::Nothing);
                };
                match kind {
                    "$" | "=" => Answer::Text(self.body(length)?),
                    "!" => Answer::Error(String::from_utf8_lossy(&self.body(length)?).into()),
                    "*" | "~" | ">" => Answer::Many(self.answers(length)?),
                    "%" => Answer::Many(self.answers(2 * length)?),
                    _ => panic!("neither RESP2 nor RESP3: {line:?}"),
                }
            }
        })
    }

    fn answers(&mut self, count: usize) -> Option<Vec<Answer>> {
        (0..count).map(|_| self.answer()).collect()
    }

    fn body(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut body = vec![0; length + 2];
        self.0.read_exact(&mut body).ok()?;
        body.truncate(length);
        Some(body)
    }
}

/// A command as clients send it.
pub(super) fn array(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}
