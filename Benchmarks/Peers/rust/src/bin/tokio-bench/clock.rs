//! Timers, and what is made of them.

use crate::REPETITIONS;
use peers::measurement::{nanoseconds_each, process_memory, Measurement, RandomMilliseconds};
use std::future::ready;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until, timeout, Sleep};

const TIMER_WINDOW: usize = 1024;
pub const OTHER_TIMERS: usize = 1_000_000;

/// A `Sleep` is armed by its first poll, and dropping it cancels it.
async fn arm(sleep: &mut Pin<Box<Sleep>>) {
    tokio::select! {
        biased;
        _ = sleep => {}
        _ = ready(()) => {}
    }
}

pub async fn timer(count: usize, other_count: usize) -> Measurement {
    // With others the deadlines are far away, so that none of them fires meanwhile.
    let distance = Duration::from_secs(if other_count > 0 { 3600 } else { 0 });
    let base = tokio::time::Instant::now() + distance;
    let mut random = RandomMilliseconds::default();
    let mut others = vec![];
    for _ in 0..other_count {
        let mut sleep = Box::pin(sleep_until(base + Duration::from_millis(random.draw())));
        arm(&mut sleep).await;
        others.push(sleep);
    }
    let mut times = vec![];
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        let base = tokio::time::Instant::from_std(start) + distance;
        let mut window: Vec<_> = (0..TIMER_WINDOW).map(|_| Box::pin(sleep_until(base))).collect();
        for index in 0..count {
            let place = index % TIMER_WINDOW;
            // In the oldest one's place: that is dropped, and nothing is allocated.
            window[place].set(sleep_until(base + Duration::from_millis(random.draw())));
            arm(&mut window[place]).await;
            if place == 0 {
                yield_now().await;
            }
        }
        drop(window);
        times.push(nanoseconds_each(start, count));
    }
    Measurement::new(count, times)
}

pub async fn wakeup(count: usize) -> Measurement {
    let mut lateness = vec![];
    for _ in 0..count {
        let start = Instant::now();
        sleep(Duration::from_millis(1)).await;
        lateness.push(start.elapsed().as_nanos() as f64 - 1e6);
    }
    Measurement::of_lateness(lateness)
}

pub async fn timeouts(count: usize) -> Measurement {
    let before = process_memory("VmRSS:");
    let mut measurement = Measurement::repeat(REPETITIONS, count, || async move {
        for index in 0..count {
            assert_eq!(timeout(Duration::from_secs(60), ready(index)).await, Ok(index));
        }
        // The loop has a turn for what is left to do.
        yield_now().await;
    })
    .await;
    let left = process_memory("VmRSS:") - before;
    measurement.extras = vec![("left_bytes", left / (count * REPETITIONS) as f64)];
    measurement
}
