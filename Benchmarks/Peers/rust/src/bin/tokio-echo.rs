//! tokio, echo: a task per connection with a buffer of its own. `write_all` waits while the client does not read.

use peers::server::{self, READ_SIZE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

fn main() -> std::io::Result<()> {
    server::run(echo)
}
