// Go, HTTP: net/http on one processor (GOMAXPROCS=1). The handler is the whole server's, without a table of routes.
// net/http adds Content-Length and Date, and writes each answer by itself.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
)

func hello(writer http.ResponseWriter, _ *http.Request) {
	writer.Header().Set("Content-Type", "text/plain")
	// An error is the end of this connection, and net/http finds out by itself.
	_, _ = io.WriteString(writer, "Hello, World!")
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) != 2 {
		log.Printf("usage: %s PORT", os.Args[0])
		os.Exit(64)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(hello)))
}
