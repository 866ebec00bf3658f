/// Ends the process when an interface is used in a way it can't be, with a text that says what to do instead.
///
/// `precondition` loses its text in optimised builds, where it is needed most. The place in front of the text is the caller's of this:
/// the function that was used like that.
@inline(__always)
package func expectUsage(
    _ isRight: Bool, _ advice: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) {
    if _slowPath(!isRight) { fatalError(advice(), file: file, line: line) }
}
