"""An upstream that answers with recordings."""

import asyncio
import json
import random
import threading

# They belong to the connection on which they were recorded, or to the packing of a body that is kept unpacked.
DROPPED = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "date", "server"}
DEFAULT_TYPE = {True: "text/event-stream; charset=utf-8", False: "application/json"}


class Replay:
    """Serves case NAME at /NAME/... on a free port of this machine. `asked` has the last body sent to each."""

    def __init__(self, cases):
        self.cases = {case.name: case for case in cases}
        self.asked = {}
        self.port = None
        # Always the same pieces, so that a failure can be repeated.
        self.random = random.Random(4)

    def start(self):
        listening = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(listening)), daemon=True).start()
        if not listening.wait(10):
            raise RuntimeError("the replay does not listen")
        return self

    async def serve(self, listening):
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        async with server:
            await server.serve_forever()

    async def connection(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        lengths = [line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0]) if lengths else 0)
        name = path.split("/")[1]
        case = self.cases.get(name)
        if method != "POST" or case is None:
            writer.write(b"HTTP/1.1 418 Not recorded\r\ncontent-length: 0\r\n\r\n")
            return False
        self.asked[name] = json.loads(body)
        headers = {key: value for key, value in case.headers.items() if key.lower() not in DROPPED}
        if not case.headers:
            headers["content-type"] = DEFAULT_TYPE[case.is_stream]
        framing = {"transfer-encoding": "chunked"} if case.is_stream else {"content-length": len(case.body)}
        lines = [f"{key}: {value}" for key, value in (headers | framing).items()]
        writer.write("\r\n".join([f"HTTP/1.1 {case.status} Recorded", *lines, "", ""]).encode())
        for piece in self.pieces(case):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if case.is_stream else piece)
            await writer.drain()
            # Lets the piece leave by itself.
            await asyncio.sleep(0)
        if case.is_stream:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def pieces(self, case):
        """The body in pieces that end anywhere, in the middle of events and of letters too."""
        longest = 1 + len(case.body) // 20
        at = 0
        while at < len(case.body):
            size = self.random.randint(1, longest)
            yield case.body[at : at + size]
            at += size
