//! tokio, HTTP without a library: GET / is answered with a greeting, anything else with an error. The parser is minimal
//! but real: it finds the blank line of each request (the memchr crate does so with SIMD, as glibc's memmem does for
//! C), splits the request line, and keeps what is not complete. All requests of a read are answered in one write.

use memchr::{memchr, memmem::Finder};
use peers::server::{self, READ_SIZE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nNot Found\n";
const NOT_ALLOWED: &[u8] =
    b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The answer to a request, which has its blank line. The flag is false when no other one can follow.
fn answer(request: &[u8]) -> (&'static [u8], bool) {
    match split_request_line(request) {
        Some((b"GET", b"/", b"HTTP/1.1")) => (HELLO, true),
        Some((b"GET", _, b"HTTP/1.1")) => (NOT_FOUND, true),
        // Other methods may have a body, which would be taken for the next request.
        Some((_, _, b"HTTP/1.1")) => (NOT_ALLOWED, false),
        _ => (BAD_REQUEST, false),
    }
}

/// The method, the target, and the version.
fn split_request_line(request: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let line = &request[..memchr(b'\r', request)?];
    let method_end = memchr(b' ', line)?;
    let rest = &line[method_end + 1..];
    let target_end = memchr(b' ', rest)?;
    Some((&line[..method_end], &rest[..target_end], &rest[target_end + 1..]))
}

async fn serve(mut stream: TcpStream) {
    let blank_line = Finder::new(b"\r\n\r\n");
    let mut buffer = vec![0; READ_SIZE];
    let mut answers = Vec::new();
    // The bytes of an incomplete request, at the buffer's beginning.
    let mut held = 0;
    let mut goes_on = true;
    while goes_on {
        let end = match stream.read(&mut buffer[held..]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => held + count,
        };
        let mut start = 0;
        while goes_on {
            let next = match blank_line.find(&buffer[start..end]) {
                Some(found) => start + found + 4,
                None => break,
            };
            let (text, more) = answer(&buffer[start..next]);
            answers.extend_from_slice(text);
            goes_on = more;
            start = next;
        }
        // A head that fills the buffer will never be complete.
        if goes_on && end - start == READ_SIZE {
            answers.extend_from_slice(BAD_REQUEST);
            goes_on = false;
        }
        if !answers.is_empty() && stream.write_all(&answers).await.is_err() {
            return;
        }
        answers.clear();
        buffer.copy_within(start..end, 0);
        held = end - start;
    }
}

fn main() -> std::io::Result<()> {
    server::run(serve)
}
