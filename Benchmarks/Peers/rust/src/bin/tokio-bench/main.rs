//! tokio, micro-benchmarks on its `current_thread` runtime, all in a spawned task: the future of `block_on` is not in
//! the scheduler's queue. tokio's clock counts whole milliseconds, rounded up, which `wakeup` shows. Its `timeout`
//! polls the body first, so that the timer of a body that is ready at once is never armed.

mod clock;
mod tasks;

use peers::measurement::{nanoseconds_each, Measurement};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const REPETITIONS: usize = 5;

async fn pipe(count: usize) -> Measurement {
    Measurement::repeat(REPETITIONS, count, || async move {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let client = tokio::spawn(async move {
            // More room than bytes, so that a short read tells that there are no more.
            let mut buffer = [1; 64];
            for _ in 0..count {
                one.write_all(&buffer[..1]).await.unwrap();
                assert_eq!(one.read(&mut buffer).await.unwrap(), 1);
            }
        });
        let server = tokio::spawn(async move {
            let mut buffer = [0; 64];
            loop {
                let count = other.read(&mut buffer).await.unwrap();
                if count == 0 {
                    return;
                }
                other.write_all(&buffer[..count]).await.unwrap();
            }
        });
        client.await.unwrap();
        server.await.unwrap();
    })
    .await
}

/// Also xthread2: the processors are the caller's choice.
async fn xthread(count: usize) -> Measurement {
    let runtime = Handle::current();
    let (finish, finished) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let (answer, answers) = std::sync::mpsc::channel();
        let mut times = vec![];
        for _ in 0..REPETITIONS {
            let start = Instant::now();
            for _ in 0..count {
                let answer = answer.clone();
                runtime.spawn(async move { answer.send(()).unwrap() });
                answers.recv().unwrap();
            }
            times.push(nanoseconds_each(start, count));
        }
        finish.send(times).unwrap();
    });
    let times = finished.await.unwrap();
    thread.join().unwrap();
    Measurement::new(count, times)
}

/// None when there is no such benchmark.
async fn run(bench: String, given: Option<usize>) -> Option<Measurement> {
    let count = |usual| given.unwrap_or(usual);
    Some(match bench.as_str() {
        "sleepers" => tasks::sleepers(count(100_000)).await,
        "sleepers1m" => tasks::sleepers(count(1_000_000)).await,
        "crowd" => tasks::crowd(count(1_000_000)).await,
        "spawn" => tasks::spawn(count(1_000_000)).await,
        "spawn1" => tasks::spawn1(count(1_000_000)).await,
        "yield" => tasks::yields(count(1_000_000)).await,
        "chan" => tasks::chan(count(1_000_000)).await,
        "timer" => clock::timer(count(1_000_000), 0).await,
        "timer1m" => clock::timer(count(1_000_000), clock::OTHER_TIMERS).await,
        "pipe" => pipe(count(100_000)).await,
        "wakeup" => clock::wakeup(count(1_000)).await,
        "xthread" | "xthread2" => xthread(count(20_000)).await,
        "timeout" => clock::timeouts(count(1_000_000)).await,
        _ => return None,
    })
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let bench = words.get(1).cloned().unwrap_or_default();
    let given = words.get(2).map(|word| word.parse().expect("N"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let measurement = runtime.block_on(async { tokio::spawn(run(bench.clone(), given)).await.unwrap() });
    match measurement {
        Some(measurement) => measurement.print("tokio", &bench),
        None => {
            eprintln!("usage: {} BENCH [N]", words[0]);
            std::process::exit(64);
        }
    }
}
