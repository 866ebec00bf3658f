import Glibc

/// Does the environment ask for the long rounds of stress tests? `EDDY_STRESS=1 swift test`.
let isStress = getenv("EDDY_STRESS") != nil

/// How often a stress test goes round: a million times when the environment asks for it.
func stressRounds(_ usual: Int, _ many: Int = 1_000_000) -> Int {
    isStress ? many : usual
}
