//! hyper, HTTP: its server side of a connection, HTTP/1 only, in a task of tokio's `current_thread` runtime. hyper adds
//! Content-Length and Date, and writes each answer by itself: its experimental `pipeline_flush`, which puts answers to
//! pipelined requests together, keeps them back while the next request is incomplete.

use hyper::header::{HeaderValue, CONTENT_TYPE};
use hyper::{server::conn::Http, service::service_fn, Body, Request, Response};
use peers::server;
use std::convert::Infallible;
use tokio::net::TcpStream;

async fn hello(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::from("Hello, World!"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn serve(stream: TcpStream) {
    // A client that has no more requests still gets its answers. An error is the end of this connection, and of nothing
    // else.
    let _ = Http::new().http1_only(true).http1_half_close(true).serve_connection(stream, service_fn(hello)).await;
}

fn main() -> std::io::Result<()> {
    server::run(serve)
}
