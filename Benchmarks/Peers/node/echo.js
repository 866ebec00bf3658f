// Node, echo: net sockets and their 'data' events. Each read allocates its Buffer: a server's sockets can't reuse one.
// A client that does not read is not read from. A half-closed socket is closed when all is written (allowHalfOpen is
// off). Node raises the limit of descriptors by itself.
'use strict';

const net = require('node:net');

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on('data', (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  // 'close' follows, and the socket is destroyed: an error is the end of this connection, and of nothing else.
  socket.on('error', () => {});
});

server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
