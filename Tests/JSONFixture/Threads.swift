import Glibc

/// The number of threads in the process.
func threads() -> Int {
    guard let directory = opendir("/proc/self/task") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while let entry = readdir(directory) { count += entry.pointee.d_name.0 == UInt8(ascii: ".") ? 0 : 1 }
    return count
}
