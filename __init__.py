"""Farplane: background plates that stay locked to the Blender camera.

This file is both the door of the Blender extension (``register`` / ``unregister``) and the root of the
``farplane`` Python package.  Nothing of Blender is imported until Blender asks for it.
"""


def register() -> None:
    """Register the add-on's classes, properties and commands with Blender."""
    from .addon import registration

    registration.register()


def unregister() -> None:
    """Remove everything that ``register`` added."""
    from .addon import registration

    registration.unregister()
