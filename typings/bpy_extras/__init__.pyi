"""Blender ships no type stubs: everything of its modules is Any to the type checker."""

from typing import Any

def __getattr__(name: str) -> Any: ...
