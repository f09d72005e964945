"""PNG files for the tests of the program, which run where no library for them is installed."""
import struct
import zlib

GREY, RGB, RGBA = 0, 2, 6
BYTES = {GREY: 1, RGB: 3, RGBA: 4}


def write(path: str, width: int, height: int, colour: int, rows: list[bytes]) -> None:
    """A picture of 8 bits a channel. Fewer rows than its height make a damaged one."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                   chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) +
                   chunk(b"IEND", b""))


def read(path: str) -> list[bytes]:
    """The pixels of a picture of 8 bits a channel, row by row."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", body[:10])
        if kind == b"IDAT":
            packed += body
        at += length + 12
    step = BYTES[colour]
    raw, stride, rows = zlib.decompress(packed), width * step, []
    above = bytearray(stride)
    for y in range(height):
        kind = raw[y * (stride + 1)]
        row = bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            a, b = row[i - step] if i >= step else 0, above[i]
            c = above[i - step] if i >= step else 0
            p = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = row[i] + (0, a, b, (a + b) // 2, p)[kind] & 255
        above = row
        rows.append(row)
    return [bytes(row[i:i + step]) for row in rows for i in range(0, stride, step)]
