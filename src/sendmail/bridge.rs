//! `-bs`: SMTP on standard input and output, for programs that speak it and cannot connect. The daemon's own dialogue,
//! octet for octet.

use super::{
    exit::Exit,
    identity,
    transport::{connect_tcp, connect_unix},
};
use crate::config::{Door, Front};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    thread,
};

/// Joins standard input and output with the first door that opens. Where none does, the answer is a 421.
pub fn bridge(front: &Front) -> Exit {
    let joined = front.doors.iter().find_map(|door| match door {
        Door::Unix(path) => connect_unix(path).ok().map(|stream| {
            let back = stream.try_clone();
            join(stream, back, |stream| stream.shutdown(Shutdown::Write))
        }),
        Door::Tcp(address) => connect_tcp(address).ok().map(|stream| {
            let back = stream.try_clone();
            join(stream, back, |stream| stream.shutdown(Shutdown::Write))
        }),
    });
    joined.unwrap_or_else(|| {
        let hostname = identity::hostname(front.hostname.as_deref());
        let sorry = format!("421 4.3.2 {hostname} waxseal does not answer; try again later\r\n");
        // Whoever does not hear it sees the end, and the exit code.
        let _ = io::stdout().lock().write_all(sorry.as_bytes());
        Exit::TempFail
    })
}

fn join<S: Read + Write + Send + 'static>(
    to_daemon: S,
    from_daemon: io::Result<S>,
    half_close: impl FnOnce(&S) -> io::Result<()> + Send + 'static,
) -> Exit {
    let Ok(mut from_daemon) = from_daemon else { return Exit::TempFail };
    let mut to_daemon = to_daemon;
    // Standard input may stay open for ever; the process ends when the daemon has closed its side.
    thread::spawn(move || {
        let _ = pass_on(&mut io::stdin().lock(), &mut to_daemon);
        let _ = half_close(&to_daemon);
    });
    match pass_on(&mut from_daemon, &mut io::stdout().lock()) {
        Ok(()) => Exit::Ok,
        Err(_) => Exit::IoError,
    }
}

/// As `io::copy`, with every piece brought to the other side at once.
fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut octets = vec![0; 16 << 10];
    loop {
        match from.read(&mut octets) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(&octets[..read])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
