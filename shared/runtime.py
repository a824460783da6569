"""The life of a room."""

from shared.catalogue import Room
from shared.service import Build, Handler, Keyed, Ports, S, Service, Servicer

__all__ = ["Build", "Handler", "Keyed", "Ports", "Service", "Servicer", "main"]


def main(room: Room, settings_type: type[S], build: Build[S]) -> None:
    """Runs a room until it is asked to stop; exits 0 after a drain, 1 on a fatal error, 2 on wrong settings."""
    raise NotImplementedError
