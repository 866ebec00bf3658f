"""asyncio and uvloop, HTTP: a protocol with httptools, the parser that uvicorn uses.   hello.py {asyncio|uvloop} PORT

httptools wraps llhttp, Node's parser. All requests of a read are answered in one write.
"""
import sys

from httptools import HttpParserError, HttpRequestParser
from server import BufferedProtocol, PatientProtocol, begin, run, serve_protocol

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Hello(PatientProtocol):
    def connection_made(self, transport):
        super().connection_made(transport)
        self.parser = HttpRequestParser(self)
        self.complete = 0
        self.goes_on = True

    def data_received(self, data):
        answers = b""
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            answers = BAD_REQUEST
            self.goes_on = False
        if self.complete:
            answers = HELLO * self.complete + answers
            self.complete = 0
        if answers:
            self.transport.write(answers)
        if not self.goes_on:
            self.transport.close()

    def on_message_complete(self):
        self.complete += 1
        self.goes_on = self.parser.should_keep_alive()


class BufferedHello(BufferedProtocol, Hello):
    pass


if __name__ == "__main__":
    library, port = sys.argv[1], int(sys.argv[2])
    begin()
    run(library, serve_protocol(BufferedHello if library == "asyncio" else Hello, port))
