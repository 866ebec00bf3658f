"""What the servers in Python share."""
import asyncio
import resource
import signal

BACKLOG = 4096
READ_SIZE = 16384


def begin():
    """Ten thousand connections need more than the usual soft limit; and an interrupt ends the process as it is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(library, main):
    """Runs a coroutine on asyncio's own loop or on uvloop's."""
    if library == "uvloop":
        import uvloop

        return uvloop.run(main)
    return asyncio.run(main)


async def serve_protocol(protocol, port):
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


class PatientProtocol(asyncio.Protocol):
    """Does not read while its client does not: otherwise the answers would pile up in memory. As it is, it is for
    uvloop, which reads into a buffer of its own."""

    def connection_made(self, transport):
        self.transport = transport

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class BufferedProtocol(asyncio.BufferedProtocol):
    """Mixed in for asyncio's own loop, which otherwise allocates 256 KiB for each read. There is one buffer for all
    connections: what has been read is copied at once."""

    buffer = bytearray(READ_SIZE)

    def get_buffer(self, size_hint):
        return self.buffer

    def buffer_updated(self, count):
        self.data_received(self.buffer[:count])
