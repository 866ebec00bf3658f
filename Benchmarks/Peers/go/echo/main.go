// Go, echo: a goroutine per connection with a buffer of its own, all on one processor (GOMAXPROCS=1).
//
// The package net sets TCP_NODELAY and SO_REUSEADDR, and takes the backlog from net.core.somaxconn, 4096 nowadays. The
// runtime raises the soft limit of descriptors. A blocked Write holds up its goroutine, and so the reads.
package main

import (
	"log"
	"net"
	"os"
	"runtime"
)

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 16384)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) != 2 {
		log.Printf("usage: %s PORT", os.Args[0])
		os.Exit(64)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(connection)
	}
}
