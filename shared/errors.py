"""What can go wrong, in two names.

    SpiralError
    ├── Retryable   a timeout, a lost connection, a 503: the same input may succeed later
    │   └── OutOfSpace  a full disk or quota: it succeeds once somebody frees some
    └── Rejected    malformed or against the contract: the same input never succeeds

On an event, `Retryable` is a nak with back-off, `OutOfSpace` waits in hand without limit, and `Rejected` is a dead letter at once. On a
gRPC call they are UNAVAILABLE and INVALID_ARGUMENT (or the code that `Rejected.grpc_code` names). Anything else is our bug: redelivered
up to the limit, then a dead letter with its traceback; INTERNAL on a call. Only `shared/runtime.py`, `shared/delivery.py` and
`shared/rpc.py` catch.
"""


class SpiralError(Exception):
    """Base of all errors that Spiral raises itself. The message says what happened and what to do."""


class Retryable(SpiralError):
    """The same input may succeed later."""


class OutOfSpace(Retryable):
    """A disk or a quota is full; the same input succeeds once somebody frees some space."""


class Rejected(SpiralError):
    """The same input never succeeds."""

    grpc_code = "INVALID_ARGUMENT"


class NotFound(Rejected):
    """What the input refers to does not exist."""

    grpc_code = "NOT_FOUND"


class DigestMismatch(Rejected):
    """An object's bytes are not those that its reference names: it was corrupted or replaced."""


class BadConfiguration(SpiralError):
    """A setting or command-line value is wrong; raised at start, before any work."""
