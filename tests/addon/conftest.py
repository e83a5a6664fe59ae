"""No example of a property is held to a clock: the machine may be busy, or be compiling."""

from hypothesis import HealthCheck, settings

settings.register_profile("farplane", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farplane")
