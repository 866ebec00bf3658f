//! Tasks: spawned, put to sleep, taking turns, sending each other messages.

use crate::REPETITIONS;
use peers::measurement::{nanoseconds_each, process_memory, Measurement, RandomMilliseconds};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, Notify};
use tokio::task::yield_now;
use tokio::time::sleep;

const SLOW_REPETITIONS: usize = 3;

pub async fn sleepers(count: usize) -> Measurement {
    let before = process_memory("VmRSS:");
    let mut times = vec![];
    let mut peak = 0.0;
    for repetition in 0..SLOW_REPETITIONS {
        let start = Instant::now();
        let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(sleep(Duration::from_millis(10)))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        times.push(nanoseconds_each(start, count));
        if repetition == 0 {
            peak = process_memory("VmHWM:");
        }
    }
    let mut measurement = Measurement::new(count, times);
    let wall = measurement.median() * count as f64 / 1e6;
    measurement.extras = vec![("wall_ms", wall), ("rss_per_task", (peak - before) / count as f64)];
    measurement
}

/// All tasks exist at once, and then each sleeps for up to a second: at gates of a thousand, as Eddy's `sleepers` does it.
pub async fn crowd(count: usize) -> Measurement {
    const GROUP: usize = 1_000;
    let before = process_memory("VmRSS:");
    let start = Instant::now();
    let mut random = RandomMilliseconds::default();
    let mut tasks = Vec::with_capacity(count);
    let mut gates = vec![];
    while tasks.len() < count {
        let gate = Arc::new(Notify::new());
        for _ in 0..GROUP.min(count - tasks.len()) {
            let gate = gate.clone();
            let nap = Duration::from_millis(random.draw()) / 10;
            tasks.push(tokio::spawn(async move {
                gate.notified().await;
                let end = Instant::now() + nap;
                sleep(nap).await;
                end.elapsed().as_nanos() as f64
            }));
        }
        gates.push(gate);
        // All of them wait after this.
        yield_now().await;
    }
    for gate in gates {
        gate.notify_waiters();
        yield_now().await;
    }
    let mut lateness = vec![];
    for task in tasks {
        lateness.push(task.await.unwrap());
    }
    let each = nanoseconds_each(start, count);
    let peak = process_memory("VmHWM:");
    let mut measurement = Measurement::of_lateness(lateness);
    measurement.times = vec![each];
    measurement.extras.push(("rss_per_task", (peak - before) / count as f64));
    measurement.extras.push(("wall_ms", each * count as f64 / 1e6));
    measurement
}

pub async fn spawn(count: usize) -> Measurement {
    Measurement::repeat(REPETITIONS, count, || async move {
        let tasks: Vec<_> = (0..count).map(|index| tokio::spawn(async move { index & 1 })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, count / 2);
    })
    .await
}

pub async fn spawn1(count: usize) -> Measurement {
    Measurement::repeat(REPETITIONS, count, || async move {
        let mut sum = 0;
        for index in 0..count {
            sum += tokio::spawn(async move { index & 1 }).await.unwrap();
        }
        assert_eq!(sum, count / 2);
    })
    .await
}

pub async fn yields(count: usize) -> Measurement {
    async fn take_turns(count: usize) {
        for _ in 0..count {
            yield_now().await;
        }
    }
    Measurement::repeat(REPETITIONS, count, || async move {
        let one = tokio::spawn(take_turns(count / 2));
        let other = tokio::spawn(take_turns(count / 2));
        one.await.unwrap();
        other.await.unwrap();
    })
    .await
}

pub async fn chan(count: usize) -> Measurement {
    Measurement::repeat(REPETITIONS, count, || async move {
        let (ping, mut pings) = mpsc::channel(1);
        let (pong, mut pongs) = mpsc::channel(1);
        let one = tokio::spawn(async move {
            for index in 0..count / 2 {
                ping.send(index).await.unwrap();
                assert_eq!(pongs.recv().await, Some(index));
            }
        });
        let other = tokio::spawn(async move {
            while let Some(index) = pings.recv().await {
                pong.send(index).await.unwrap();
            }
        });
        one.await.unwrap();
        other.await.unwrap();
    })
    .await
}
