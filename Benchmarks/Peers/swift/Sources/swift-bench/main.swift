// Swift's own concurrency on its global pool: swift-bench BENCH [N]
//
// The pool has a thread for each processor that the process may use. There is no switch for it on Linux:
// LIBDISPATCH_COOPERATIVE_POOL_STRICT is known on Apple's systems only. With one processor (taskset -c 0) there is one.

import ConcurrencyBenches
import PeerSupport

Bench.main("swift", ConcurrencyBenches(on: nil).all)
