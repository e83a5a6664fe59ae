"""The tables: complete, closed, and fit for each other in every interleaving."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farplane.protocol import events
from farplane.protocol.events import LocalProtocolError, RemoteProtocolError
from farplane.protocol.schema import FROM_BACKEND as MESSAGES_FROM_BACKEND
from farplane.protocol.schema import FROM_CLIENT, NAMES
from farplane.protocol.session import BACKEND_JOB, CLIENT_JOB, CONNECTION, REFUSED_FETCH, Session, Table

JOB = "01234567-89ab-cdef-0123-456789abcdef"
OTHER = "fedcba98-7654-3210-fedc-ba9876543210"
FAULT = ("field", "problem", "remedy")
FROM_BACKEND = MESSAGES_FROM_BACKEND | {REFUSED_FETCH}  # one message, two words


def message(name: str, job: str | None = JOB) -> events.Message:
    """Some message of that type."""
    kind = {REFUSED_FETCH: events.Refused, **{kind_name: kind for kind, kind_name in NAMES.items()}}[name]
    special = {
        "hello": lambda: events.Hello("x"),
        "welcome": lambda: events.Welcome("x", (), 1),
        "credit": lambda: events.Credit(job, 0, 1),
        "upload": lambda: events.Upload(job, 0, b"1"),
        "fetch": lambda: events.Fetch(job, 1, 0, 1),
        "chunk": lambda: events.Chunk(job, 1, 0, b"1"),
        "accepted": lambda: events.Accepted(job, 0),
        "progress": lambda: events.Progress(job, "write", 1, 1),
        "preview": lambda: events.Preview(job, 1, b"1"),
        "items": lambda: events.Items(job, ()),
        "finished": lambda: events.Finished(job, 0),
        "failed": lambda: events.Failed(job, *FAULT),
        "refused": lambda: events.Refused(job, *FAULT),
        REFUSED_FETCH: lambda: events.Refused(job, events.FETCH, *FAULT[1:]),
        "submit": lambda: events.Submit(job, *[None] * 10),
    }
    return special.get(name, lambda: kind(job))()


@pytest.mark.parametrize("table", [CONNECTION, CLIENT_JOB, BACKEND_JOB])
def test_a_table_leads_only_to_its_own_states(table: Table) -> None:
    reached = {"new" if table is CONNECTION else "none"}
    for _ in table:
        reached |= {state for start in reached for state in table[start].values()}
    assert reached == set(table)  # every state can be reached, and none outside
    assert {name for row in table.values() for name in row} <= FROM_CLIENT | FROM_BACKEND


def walk(limit: int) -> set[tuple]:
    """Every situation two sides can come to that each send what their own table lets them.

    A situation is the two states and the messages on their way, at most `limit` in each direction.
    """
    start = ("none", "none", (), ())
    seen, todo = {start}, deque([start])
    while todo:
        client, backend, up, down = todo.popleft()
        steps = []
        if len(up) < limit:
            steps += [(s, backend, (*up, m), down) for m, s in CLIENT_JOB[client].items() if m in FROM_CLIENT]
        if len(down) < limit:
            steps += [(client, s, up, (*down, m)) for m, s in BACKEND_JOB[backend].items() if m in FROM_BACKEND]
        if up:
            assert up[0] in BACKEND_JOB[backend], f"backend, {backend}, may read {up[0]} (client {client})"
            steps.append((client, BACKEND_JOB[backend][up[0]], up[1:], down))
        if down:
            assert down[0] in CLIENT_JOB[client], f"client, {client}, may read {down[0]} (backend {backend})"
            steps.append((CLIENT_JOB[client][down[0]], backend, up, down[1:]))
        for step in steps:
            if step not in seen:
                seen.add(step)
                todo.append(step)
    return seen


def test_whatever_one_side_may_send_the_other_may_receive() -> None:
    """Exhaustive for up to three messages on their way in each direction; and when the line is empty both agree."""
    situations = walk(3)
    assert len(situations) > 10_000
    assert all(client == backend for client, backend, up, down in situations if not up and not down)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(FROM_CLIENT | FROM_BACKEND)), st.sampled_from([JOB, OTHER, None]), st.booleans()
        )
    ),
    st.sampled_from(["client", "backend"]),
)
def test_random_messages_never_leave_the_table(steps: list, side) -> None:
    """Anything, in any order, sent or received: a step of the table, or an error and nothing changed."""
    session = Session(side)
    table = CLIENT_JOB if side == "client" else BACKEND_JOB
    ours = FROM_CLIENT if side == "client" else FROM_BACKEND
    for name, job, sending in steps:
        if job is None and name not in ("hello", "welcome", "refused"):
            continue
        one = message(name, job)
        about = getattr(one, "job", None)
        before = (session.connection, session.job(JOB), session.job(OTHER))
        state = session.connection if about is None else session.job(about)
        row = CONNECTION[state] if about is None else (table[state] if session.connection == "open" else {})
        legal = (name in ours) == sending and name in row
        assert session.may_send(one) == (name in ours and name in row)
        step = session.send if sending else session.receive
        if not legal:
            with pytest.raises(LocalProtocolError if sending else RemoteProtocolError):
                step(one)
            assert before == (session.connection, session.job(JOB), session.job(OTHER))
        else:
            step(one)
            assert (session.connection if about is None else session.job(about)) == row[name]


@given(st.integers(0, 2**32))
def test_two_sessions_talk_for_long_without_a_fault(seed: int) -> None:
    """Sessions on both ends of a line that delays at random, with two jobs, as client and backend would use them."""
    rng = random.Random(seed)
    client, backend = Session("client"), Session("backend")
    up: deque[events.Message] = deque()
    down: deque[events.Message] = deque()
    for one, sender, receiver in ((message("hello"), client, backend), (message("welcome"), backend, client)):
        sender.send(one)
        receiver.receive(one)
    for _ in range(80):
        action = rng.randrange(4)
        if action == 0 and up:
            backend.receive(up.popleft())
        elif action == 1 and down:
            client.receive(down.popleft())
        else:
            session, line, names = (client, up, FROM_CLIENT) if action % 2 else (backend, down, FROM_BACKEND)
            job = rng.choice([JOB, OTHER])
            possible = [name for name in sorted(names - {"hello", "welcome"}) if session.may_send(message(name, job))]
            if possible and len(line) < 20:
                one = message(rng.choice(possible), job)
                session.send(one)
                line.append(one)
    while up:
        backend.receive(up.popleft())
    while down:
        client.receive(down.popleft())
    assert [client.job(job) for job in (JOB, OTHER)] == [backend.job(job) for job in (JOB, OTHER)]


def test_nothing_about_jobs_before_the_welcome_or_after_the_end() -> None:
    session = Session("backend")
    with pytest.raises(RemoteProtocolError, match="new"):
        session.receive(message("attach"))
    session.receive(message("hello"))
    session.send(message("welcome"))
    session.receive(message("attach"))
    session.send(message("refused", None))
    with pytest.raises(LocalProtocolError, match="closed"):
        session.send(message("accepted"))
