"""A second client, as small as possible: a DEALER and nothing else, to say what Client would never say."""

from __future__ import annotations

from pathlib import Path

import zmq

from farplane.protocol import codec, pairing
from farplane.protocol.events import Credit, Hello, Message, Submit, Upload
from farplane.protocol.schema import FROM_BACKEND


class Raw:
    def __init__(
        self, address: str, server_key: str, keys: tuple[bytes, bytes], room: int = 0, name: bytes = b""
    ) -> None:
        """room : messages that its own libzmq takes in before they are read; 0 for the usual.  name : its routing id."""
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.curve_serverkey = server_key.encode()
        self.socket.curve_publickey, self.socket.curve_secretkey = keys
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        if name:
            self.socket.setsockopt(zmq.IDENTITY, name)
        if room:
            self.socket.rcvhwm, self.socket.rcvbuf = room, 1 << 16
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

    def offer(self, submit: Submit, buffers: list[memoryview]) -> Message | None:
        """Submit and upload by credit; returns the first answer that is none."""
        self.say(submit)
        while isinstance(message := self.hear(), Credit):
            self.upload(submit.job, buffers, message)
        return message

    def upload(self, job: str, buffers: list[memoryview], credit: Credit) -> None:
        """Send what a credit asks for."""
        for offset, data in codec.pieces(buffers, credit.offset, credit.chunks):
            self.say(Upload(job, offset, data))

    def until(self, kind: type, milliseconds: int = 60_000) -> Message:
        """Read on until a message of this kind comes."""
        while True:
            message = self.hear(milliseconds)
            assert message is not None, f"no {kind.__name__} came"
            if isinstance(message, kind):
                return message

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
        if self.socket.closed:
            return
        self.socket.disable_monitor()
        self.monitor.close()
        self.socket.close()
        self.context.term()


def known(config: Path, name: str = "") -> tuple[bytes, bytes]:
    """A new key pair that the backend of this folder knows."""
    public, secret = zmq.curve_keypair()
    pairing.allow_client(config, public.decode(), name)
    return public, secret
