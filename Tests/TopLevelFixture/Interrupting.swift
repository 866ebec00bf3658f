import Glibc

func interrupt() { raise(SIGINT) }
