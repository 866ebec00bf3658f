package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The times are nanoseconds per operation, one of each repetition; extras are further fields of the line, with a comma
// before each.
type measurement struct {
	count  int
	times  []float64
	extras string
}

// Runs an operation of this many parts several times.
func repeat(repetitions, count int, run func()) measurement {
	result := measurement{count: count}
	for i := 0; i < repetitions; i++ {
		start := time.Now()
		run()
		result.times = append(result.times, float64(time.Since(start))/float64(count))
	}
	return result
}

func sorted(numbers []float64) []float64 {
	result := append([]float64(nil), numbers...)
	sort.Float64s(result)
	return result
}

func (result measurement) median() float64 {
	return sorted(result.times)[len(result.times)/2]
}

func (result measurement) print(bench string) {
	times := sorted(result.times)
	fmt.Printf("{\"peer\":\"go\",\"bench\":%q,\"n\":%d,\"reps\":%d", bench, result.count, len(times))
	fmt.Printf(",\"ns\":%.2f,\"ns_min\":%.2f,\"ns_max\":%.2f%s}\n",
		result.median(), times[0], times[len(times)-1], result.extras)
}

// From how late each wake-up was, in nanoseconds.
func ofLateness(lateness []float64) measurement {
	sum := 0.0
	for _, late := range lateness {
		sum += late
	}
	count := len(lateness)
	mean, ordered := sum/float64(count), sorted(lateness)
	extras := fmt.Sprintf(",\"mean_us\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f",
		mean/1e3, ordered[count/2]/1e3, ordered[count*99/100]/1e3)
	return measurement{count, []float64{mean}, extras}
}

// A line of /proc/self/status, in bytes.
func processMemory(key string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, key) {
			kilobytes, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
			check(err)
			return kilobytes * 1024
		}
	}
	panic("no " + key + " in /proc/self/status")
}

// Times between 0 and 10 s in milliseconds, the same ones in each run (Marsaglia's xorshift).
type randomDurations uint64

const randomSeed randomDurations = 0x9E3779B97F4A7C15

func (state *randomDurations) next() time.Duration {
	*state ^= *state << 13
	*state ^= *state >> 7
	*state ^= *state << 17
	return time.Duration((*state>>11)%10000) * time.Millisecond
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
