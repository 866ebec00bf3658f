//! A TCP server on tokio's `current_thread` runtime, a task per connection.

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use tokio::net::{TcpSocket, TcpStream};

pub const READ_SIZE: usize = 16384;
const BACKLOG: u32 = 4096;

/// Serves the port of the command line, its only word, until a signal ends the process.
pub fn run<Handler, Connection>(handle: Handler) -> io::Result<()>
where
    Handler: Fn(TcpStream) -> Connection,
    Connection: Future<Output = ()> + Send + 'static,
{
    let words: Vec<String> = std::env::args().collect();
    let port = words.get(1).and_then(|word| word.parse::<u16>().ok()).unwrap_or_else(|| {
        eprintln!("usage: {} PORT", words[0]);
        std::process::exit(64)
    });
    raise_descriptor_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        let listener = socket.listen(BACKLOG)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(handle(stream));
        }
    })
}

/// Ten thousand connections need more than the usual soft limit.
fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only use the limit that they are lent.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
