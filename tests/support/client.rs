//! An SMTP client that knows which of its messages got their 250.

use super::PATIENCE;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

/// What a client talks through: TCP, a Unix socket, TLS.
pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub struct Client(BufReader<Box<dyn Stream>>);

impl Client {
    /// Connects, and takes the greeting.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self::knock(address)?;
        client.expect("220")?;
        Ok(client)
    }

    /// Connects alone.
    pub fn knock(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Connects to a Unix socket, and takes the greeting.
    pub fn local(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self::over(stream);
        client.expect("220")?;
        Ok(client)
    }

    /// Takes over a connection.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    /// The next reply, all its lines.
    pub fn reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let at = reply.len();
            if self.0.read_line(&mut reply)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if reply.as_bytes().get(at + 3) != Some(&b'-') {
                return Ok(reply.trim_end().to_owned());
            }
        }
    }

    fn expect(&mut self, code: &str) -> io::Result<String> {
        let reply = self.reply()?;
        if reply.starts_with(code) { Ok(reply) } else { Err(io::Error::other(reply)) }
    }

    pub fn command(&mut self, line: &str) -> io::Result<String> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(octets)
    }

    pub fn hello(&mut self) -> io::Result<()> {
        self.write(b"EHLO app.example.com\r\n")?;
        self.expect("250").map(drop)
    }

    /// Everything up to the 354.
    pub fn begin(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.write(format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n").as_bytes())?;
        for code in ["250", "250", "354"] {
            self.expect(code)?;
        }
        Ok(())
    }

    /// A whole message; `Ok` is its 250.
    pub fn send(&mut self, from: &str, to: &str, content: &[u8]) -> io::Result<String> {
        self.begin(from, to)?;
        self.write(&stuffed(content))?;
        self.expect("250")
    }
}

/// One message on a connection of its own; `Ok` is its 250.
pub fn submit(address: SocketAddr, from: &str, content: &[u8]) -> io::Result<String> {
    let mut client = Client::connect(address)?;
    client.hello()?;
    let reply = client.send(from, "someone@example.org", content)?;
    client.command("QUIT")?;
    Ok(reply)
}

/// A small message.
pub fn message(subject: &str) -> Vec<u8> {
    format!(
        "From: app@example.com\r\nTo: someone@example.org\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{subject}@app.example.com>\r\n\r\n\
         .a line with a dot\r\n"
    )
    .into_bytes()
}

/// Dots doubled (RFC 5321 §4.5.2), and the end of data.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.first() == Some(&b'.') {
            octets.push(b'.');
        }
        octets.extend_from_slice(line);
    }
    octets.extend_from_slice(b".\r\n");
    octets
}
