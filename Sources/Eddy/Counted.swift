/// `1 byte`, `2 bytes`: how many there are, in words.
///
/// - Parameter plural: where it is not the noun with an `s`.
package func counted(_ count: some BinaryInteger, _ noun: String, _ plural: String? = nil) -> String {
    "\(count) \(count == 1 ? noun : plural ?? noun + "s")"
}
