//! Listening sockets: TCP, and Unix sockets with their file.

use super::Client;
use crate::config::ListenAddress;
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// The socket file of a Unix listener: whoever may see its directory may submit, as anybody on this host may to a
/// listener on loopback.
const MODE: u32 = 0o666;
/// Connections that may wait to be accepted; the system allows 4096 by default (`net.core.somaxconn`). One that finds no
/// room is tried again by its client's system a second later.
const BACKLOG: u32 = 4096;

/// A connection.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// A socket that is listened on.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix {
        socket: UnixListener,
        /// Where it is ours to remove.
        _file: Option<SocketFile>,
    },
}

impl Socket {
    pub(super) async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => Ok(Self::Tcp(listen(*address)?)),
            ListenAddress::Unix(path) => {
                make_way(path).await?;
                let socket = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
                Ok(Self::Unix { socket, _file: Some(SocketFile::new(path)?) })
            }
            ListenAddress::Systemd(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "systemd has to pass this socket"))
            }
        }
    }

    pub(super) fn tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(socket)?))
    }

    /// A Unix socket that systemd holds, and whose file it looks after.
    pub(super) fn unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Unix { socket: UnixListener::from_std(socket)?, _file: None })
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    /// The next connection, and who is at its other end.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Client)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Replies are written whole; waiting for more to send with them only costs time.
                let _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Client::at(address.ip())))
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Either::Right(stream), Client::Local { uid }))
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As a restart finds the port while old connections still close.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes away the socket file that a daemon left behind that is no more. Whatever else is there stays.
async fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let problem = "there is a file already, which is no socket; remove it, or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Anything else comes of a socket that somebody listens on, or may.
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket")),
    }
}

/// A socket's name in the file system; dropped, it is removed, unless it is another socket's by now.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &Path) -> ListenAddress {
        ListenAddress::Unix(path.to_owned())
    }

    #[tokio::test]
    async fn a_socket_file_is_open_to_all_and_goes_with_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("smtp.sock");
        let socket = Socket::bind(&address(&path)).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o666);
        let (accepted, client) = tokio::join!(socket.accept(), UnixStream::connect(&path));
        client.unwrap();
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(accepted.unwrap().1, Client::Local { uid });
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("smtp.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let living = Socket::bind(&address(&path)).await.unwrap();
        let error = Socket::bind(&address(&path)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        // The name has become another socket's: not ours to remove.
        fs::remove_file(&path).unwrap();
        let next = Socket::bind(&address(&path)).await.unwrap();
        drop(living);
        assert!(path.exists());
        drop(next);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "x").unwrap();
        let error = Socket::bind(&address(&path)).await.unwrap_err();
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"x");
        let linked = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &linked).unwrap();
        assert!(Socket::bind(&address(&linked)).await.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
