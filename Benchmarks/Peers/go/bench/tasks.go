package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Goroutines run while others are still being started, so that the memory of each is a lower bound: at no time do all
// of them exist.
func sleepers(count int) measurement {
	before, peak := processMemory("VmRSS:"), 0.0
	result := repeat(slowRepetitions, count, func() {
		var group sync.WaitGroup
		group.Add(count)
		for i := 0; i < count; i++ {
			go func() {
				time.Sleep(10 * time.Millisecond)
				group.Done()
			}()
		}
		group.Wait()
		if peak == 0 {
			peak = processMemory("VmHWM:")
		}
	})
	result.extras = fmt.Sprintf(",\"wall_ms\":%.3f,\"rss_per_task\":%.1f",
		result.median()*float64(count)/1e6, (peak-before)/float64(count))
	return result
}

func spawn(count int) measurement {
	return repeat(repetitions, count, func() {
		var group sync.WaitGroup
		group.Add(count)
		for i := 0; i < count; i++ {
			go group.Done()
		}
		group.Wait()
	})
}

func spawn1(count int) measurement {
	return repeat(repetitions, count, func() {
		answers, sum := make(chan int, 1), 0
		for i := 0; i < count; i++ {
			go func(index int) { answers <- index & 1 }(i)
			sum += <-answers
		}
		if sum != count/2 {
			panic("not all of the goroutines have run")
		}
	})
}

func yield(count int) measurement {
	return repeat(repetitions, count, func() {
		var group sync.WaitGroup
		group.Add(2)
		for i := 0; i < 2; i++ {
			go func() {
				for j := 0; j < count/2; j++ {
					runtime.Gosched()
				}
				group.Done()
			}()
		}
		group.Wait()
	})
}

func channel(count int) measurement {
	return repeat(repetitions, count, func() {
		pings, pongs := make(chan int, 1), make(chan int, 1)
		go func() {
			for index := range pings {
				pongs <- index
			}
		}()
		done := make(chan struct{})
		go func() {
			for i := 0; i < count/2; i++ {
				pings <- i
				if <-pongs != i {
					panic("another answer")
				}
			}
			close(pings)
			close(done)
		}()
		<-done
	})
}
