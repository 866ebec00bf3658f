"""asyncio, uvloop and trio, echo.   echo.py {asyncio|uvloop} {streams|protocol} PORT   echo.py trio streams PORT

Streams are what the documentation shows; a protocol is what one writes for speed. All three libraries set TCP_NODELAY.
"""
import asyncio
import sys

from server import BACKLOG, READ_SIZE, BufferedProtocol, PatientProtocol, begin, run, serve_protocol


class Echo(PatientProtocol):
    def data_received(self, data):
        self.transport.write(data)


class BufferedEcho(BufferedProtocol, Echo):
    pass


async def echo(reader, writer):
    try:
        while data := await reader.read(READ_SIZE):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve_streams(port):
    server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


def run_trio(port):
    import trio

    async def echo(stream):
        try:
            while data := await stream.receive_some(READ_SIZE):
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    async def serve():
        await trio.serve_tcp(echo, port, host="127.0.0.1", backlog=BACKLOG)

    trio.run(serve)


if __name__ == "__main__":
    library, interface, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    begin()
    if library == "trio":
        run_trio(port)
    elif interface == "streams":
        run(library, serve_streams(port))
    else:
        run(library, serve_protocol(BufferedEcho if library == "asyncio" else Echo, port))
