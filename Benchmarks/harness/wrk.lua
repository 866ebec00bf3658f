-- What wrk has found, as one line of JSON. There is no request and no response function: those would cost wrk time.
done = function(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"microseconds":%d,"p50_us":%.2f,"p99_us":%.2f,"p999_us":%.2f,"max_us":%.2f,"errors":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
      latency.max, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
