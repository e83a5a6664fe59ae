"""A second client, as small as possible: a DEALER and nothing else, to say what Client would never say."""

from __future__ import annotations

from pathlib import Path

import zmq

from farplane.protocol import codec, pairing
from farplane.protocol.events import Hello, Message
from farplane.protocol.schema import FROM_BACKEND


class Raw:
    def __init__(self, address: str, server_key: str, keys: tuple[bytes, bytes]) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.curve_serverkey = server_key.encode()
        self.socket.curve_publickey, self.socket.curve_secretkey = keys
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self.monitor = self.socket.get_monitor_socket()
        self.socket.connect(address)

    def send(self, *parts: bytes | memoryview) -> None:
        self.socket.send_multipart(list(parts))

    def say(self, message: Message) -> None:
        self.socket.send_multipart(codec.encode(message))

    def hear(self, milliseconds: int = 30_000) -> Message | None:
        """The next message; None when none comes in time."""
        return codec.decode(parts, FROM_BACKEND) if (parts := self.parts(milliseconds)) else None

    def parts(self, milliseconds: int = 30_000) -> list[bytes] | None:
        return self.socket.recv_multipart() if self.socket.poll(milliseconds) else None

    def greet(self) -> Message | None:
        self.say(Hello("a test"))
        return self.hear()

    def until_closed(self, milliseconds: int = 30_000) -> set[int]:
        """Monitor events until the connection is closed (or nothing happens any more)."""
        from zmq.utils.monitor import recv_monitor_message

        seen: set[int] = set()
        while self.monitor.poll(milliseconds):
            event = recv_monitor_message(self.monitor)["event"]
            seen.add(event)
            if event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED):
                break
        return seen

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close()
        self.socket.close()
        self.context.term()


def known(config: Path, name: str = "") -> tuple[bytes, bytes]:
    """A new key pair that the backend of this folder knows."""
    public, secret = zmq.curve_keypair()
    pairing.allow_client(config, public.decode(), name)
    return public, secret
