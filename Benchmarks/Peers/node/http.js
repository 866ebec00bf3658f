// Node, HTTP: node:http, the head written in one call. It adds Date and Connection, and writes each answer by itself.
// No connection is closed for being idle.
'use strict';

const http = require('node:http');

const server = http.createServer({ noDelay: true, keepAliveTimeout: 0 }, (request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 13 });
  response.end('Hello, World!');
});

server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
