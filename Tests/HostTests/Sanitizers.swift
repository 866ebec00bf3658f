import Glibc

/// Is the thread sanitizer in this process, and so in the fixtures as well? From the first thread that a program starts on it has
/// one of its own, and after a fork(2) with threads it lets the child start none.
let isUnderThreadSanitizer = dlsym(nil, "__tsan_init") != nil
