/// Ends the process when an interface is used in a way it can't be, with a text that says what to do instead.
///
/// `precondition` loses its text in optimised builds, where it is needed most.
@inline(__always)
package func expectUsage(_ isRight: Bool, _ advice: @autoclosure () -> String) {
    if _slowPath(!isRight) { fatalError(advice()) }
}
