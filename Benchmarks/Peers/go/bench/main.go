// Go, micro-benchmarks: goroutines on one processor (GOMAXPROCS=1). The runtime's monitor has a thread of its own, and
// the collector works in the same processor's time.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	repetitions     = 5
	slowRepetitions = 3
	timerWindow     = 1024
	otherTimers     = 1000000
)

func timer(count, otherCount int) measurement {
	// With others the deadlines are far away, so that none of them fires meanwhile.
	distance := time.Duration(0)
	if otherCount > 0 {
		distance = time.Hour
	}
	random, others := randomSeed, make([]*time.Timer, otherCount)
	for i := range others {
		others[i] = time.AfterFunc(distance+random.next(), func() {})
	}
	result := repeat(repetitions, count, func() {
		var window [timerWindow]*time.Timer
		for i := 0; i < count; i++ {
			place := i % timerWindow
			if oldest := window[place]; oldest != nil {
				oldest.Stop()
			}
			window[place] = time.AfterFunc(distance+random.next(), func() {})
			if place == 0 {
				runtime.Gosched()
			}
		}
		for _, armed := range window {
			if armed != nil {
				armed.Stop()
			}
		}
	})
	for _, other := range others {
		other.Stop()
	}
	return result
}

func connection(descriptor int) net.Conn {
	file := os.NewFile(uintptr(descriptor), "socketpair")
	// FileConn has a duplicate.
	defer file.Close()
	result, err := net.FileConn(file)
	check(err)
	return result
}

func pipe(count int) measurement {
	return repeat(repetitions, count, func() {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		check(err)
		one, other := connection(pair[0]), connection(pair[1])
		go func() {
			defer other.Close()
			buffer := make([]byte, 64)
			for {
				count, err := other.Read(buffer)
				if err != nil {
					return
				}
				_, err = other.Write(buffer[:count])
				check(err)
			}
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer one.Close()
			buffer := make([]byte, 64)
			for i := 0; i < count; i++ {
				_, err := one.Write(buffer[:1])
				check(err)
				_, err = one.Read(buffer)
				check(err)
			}
		}()
		<-done
	})
}

func wakeup(count int) measurement {
	lateness := make([]float64, count)
	for i := range lateness {
		start := time.Now()
		time.Sleep(time.Millisecond)
		lateness[i] = float64(time.Since(start) - time.Millisecond)
	}
	return ofLateness(lateness)
}

// Also xthread2: the processors are the caller's choice. The other thread is a goroutine that is wired to one.
func xthread(count int) measurement {
	posted, result := make(chan func()), make(chan measurement)
	go func() {
		for work := range posted {
			work()
		}
	}()
	go func() {
		runtime.LockOSThread()
		answers := make(chan struct{}, 1)
		answer := func() { answers <- struct{}{} }
		result <- repeat(repetitions, count, func() {
			for i := 0; i < count; i++ {
				posted <- answer
				<-answers
			}
		})
		close(posted)
	}()
	return <-result
}

func ready(deadline context.Context) error { return deadline.Err() }

func timeout(count int) measurement {
	before := processMemory("VmRSS:")
	result := repeat(repetitions, count, func() {
		for i := 0; i < count; i++ {
			deadline, cancel := context.WithTimeout(context.Background(), time.Minute)
			err := ready(deadline)
			cancel()
			check(err)
		}
		// The scheduler has a turn for what is left to do.
		runtime.Gosched()
	})
	left := processMemory("VmRSS:") - before
	result.extras = fmt.Sprintf(",\"left_bytes\":%.3f", left/float64(count*repetitions))
	return result
}

var benches = map[string]struct {
	count int
	run   func(count int) measurement
}{
	"sleepers":   {100000, sleepers},
	"sleepers1m": {1000000, sleepers},
	"spawn":      {1000000, spawn},
	"spawn1":     {1000000, spawn1},
	"yield":      {1000000, yield},
	"chan":       {1000000, channel},
	"timer":      {1000000, func(count int) measurement { return timer(count, 0) }},
	"timer1m":    {1000000, func(count int) measurement { return timer(count, otherTimers) }},
	"pipe":       {100000, pipe},
	"wakeup":     {1000, wakeup},
	"xthread":    {20000, xthread},
	"xthread2":   {20000, xthread},
	"timeout":    {1000000, timeout},
}

func main() {
	runtime.GOMAXPROCS(1)
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	bench, isKnown := benches[name]
	if !isKnown {
		fmt.Fprintf(os.Stderr, "usage: %s BENCH [N]\n", os.Args[0])
		os.Exit(64)
	}
	if len(os.Args) > 2 {
		given, err := strconv.Atoi(os.Args[2])
		check(err)
		bench.count = given
	}
	bench.run(bench.count).print(name)
}
