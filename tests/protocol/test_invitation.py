"""The pairing line: whole or refused, however it was copied."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from farplane.protocol import pairing
from farplane.protocol.errors import FarplaneError
from farplane.protocol.invitation import Invitation

SERVER, SECRET = (half.decode() for half in zmq.curve_keypair())
WHOLE = Invitation("tcp://render.studio:46347", SERVER, SECRET)

keys = st.binary(min_size=32, max_size=32).map(lambda raw: z85.encode(raw).decode())


@given(keys, keys | st.just(""), st.integers(1, 65535), st.sampled_from(["10.0.0.7", "render-1.studio", "[fe80::1]"]))
def test_what_is_written_is_read(server: str, secret: str, port: int, host: str) -> None:
    said = Invitation(f"tcp://{host}:{port}", server, secret)
    assert Invitation.read(said.line()) == said


def test_a_line_that_a_terminal_or_a_chat_wrapped_is_read() -> None:
    line = WHOLE.line()
    for text in (f"  {line}\n", f"{line[:60]}\n   {line[60:]}", f"`{line}`", f'"{line}"', f"<{line}>"):
        assert Invitation.read(text) == WHOLE


def test_no_part_of_it_can_be_lost_or_changed_unseen() -> None:
    """Each character that differs or is missing is noticed: the check covers the host, the port and the keys."""
    line = WHOLE.line()
    for place in range(len("farplane://"), len(line)):
        for other in {"A", "b", "7"} - {line[place]}:
            for text in (line[:place] + other + line[place + 1 :], line[:place] + line[place + 1 :], line[:place]):
                try:
                    read = Invitation.read(text)
                except FarplaneError:
                    continue
                # Base64 of 84 bytes leaves no spare bits, so nothing else can stand for the same bytes.
                raise AssertionError(f"{text} was read as {read}")


@pytest.mark.parametrize("text", ["", "hello", "farplane://", "tcp://10.0.0.7:46347", "farplane://h:99999/AAAA", "\0"])
def test_another_text_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(FarplaneError, match="Copy"):
        Invitation.read(text)


def test_a_wrong_address_makes_no_line() -> None:
    with pytest.raises(FarplaneError, match="tcp://host:port"):
        Invitation("tcp://a b:1", SERVER).line()


def test_the_secret_is_kept_for_this_backend_alone_and_never_shown(tmp_path: Path) -> None:
    WHOLE.keep(tmp_path, zmq.curve_public)
    name = pairing.remote_client(SERVER)
    pair = pairing.key_pair(tmp_path, name, lambda: pytest.fail("made anew"))
    assert pair.secret == SECRET
    assert pair.public == zmq.curve_public(SECRET.encode()).decode()
    assert SECRET not in repr(WHOLE)
    Invitation(WHOLE.address, SERVER).keep(tmp_path / "other", zmq.curve_public)
    assert not (tmp_path / "other").exists(), "without a secret there is nothing to keep"
