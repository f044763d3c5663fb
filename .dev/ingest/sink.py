"""A server behind that takes a while for every request and keeps nothing; it says on /metrics what it was sent.

usage: sink.py PORT LATENCY_MS
"""
import asyncio
import sys

COUNTS = {"requests": 0, "bytes": 0, "now": 0, "most": 0}


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            left = length
            while left:
                left -= len(await reader.read(min(left, 1 << 20)))
            if head.startswith(b"POST /write"):
                COUNTS["now"] += 1
                COUNTS["most"] = max(COUNTS["most"], COUNTS["now"])
                await asyncio.sleep(LATENCY_S)
                COUNTS["now"] -= 1
                COUNTS["requests"] += 1
                COUNTS["bytes"] += length
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                text = "".join(f"sink_{name} {value}\n" for name, value in COUNTS.items()).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 21)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    LATENCY_S = int(sys.argv[2]) / 1000
    asyncio.run(main(int(sys.argv[1])))
