//! What a micro-benchmark measures, and its line of JSON.

use std::future::Future;
use std::time::Instant;

/// The times are nanoseconds per operation, one of each repetition.
pub struct Measurement {
    pub count: usize,
    pub times: Vec<f64>,
    /// Further fields of the line.
    pub extras: Vec<(&'static str, f64)>,
}

impl Measurement {
    pub fn new(count: usize, times: Vec<f64>) -> Self {
        Measurement { count, times, extras: vec![] }
    }

    /// Runs an operation of this many parts several times.
    pub async fn repeat<Run: Future<Output = ()>>(
        repetitions: usize,
        count: usize,
        mut run: impl FnMut() -> Run,
    ) -> Self {
        let mut times = vec![];
        for _ in 0..repetitions {
            let start = Instant::now();
            run().await;
            times.push(nanoseconds_each(start, count));
        }
        Measurement::new(count, times)
    }

    /// From how late each wake-up was, in nanoseconds.
    pub fn of_lateness(lateness: Vec<f64>) -> Self {
        let count = lateness.len();
        let mean = lateness.iter().sum::<f64>() / count as f64;
        let sorted = sorted(&lateness);
        let mut measurement = Measurement::new(count, vec![mean]);
        measurement.extras = vec![
            ("mean_us", mean / 1e3),
            ("p50_us", sorted[count / 2] / 1e3),
            ("p99_us", sorted[count * 99 / 100] / 1e3),
        ];
        measurement
    }

    pub fn median(&self) -> f64 {
        sorted(&self.times)[self.times.len() / 2]
    }

    pub fn print(&self, peer: &str, bench: &str) {
        let times = sorted(&self.times);
        let (first, last) = (times[0], times[times.len() - 1]);
        print!("{{\"peer\":\"{peer}\",\"bench\":\"{bench}\",\"n\":{},\"reps\":{}", self.count, times.len());
        print!(",\"ns\":{:.2},\"ns_min\":{first:.2},\"ns_max\":{last:.2}", self.median());
        for (name, value) in &self.extras {
            print!(",\"{name}\":{value:.3}");
        }
        println!("}}");
    }
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

pub fn nanoseconds_each(start: Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

/// A line of /proc/self/status, in bytes.
pub fn process_memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.expect("a line of /proc/self/status") * 1024.0
}

/// Times between 0 and 10 s in milliseconds, the same ones in each run (Marsaglia's xorshift).
pub struct RandomMilliseconds(u64);

impl Default for RandomMilliseconds {
    fn default() -> Self {
        RandomMilliseconds(0x9E37_79B9_7F4A_7C15)
    }
}

impl RandomMilliseconds {
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % 10_000
    }
}
