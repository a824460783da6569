"""`python -m shared.health_probe [PORT]`: exits 0 where this container's room serves, as gRPC health tells it, else 1."""

import sys

import grpc

_METHOD = "/grpc.health.v1.Health/Check"
_TIMEOUT_S = 3.0
_SERVING = b"\x08\x01"
_PORT = "50051"


def is_serving(address: str) -> bool:
    """Whether the server at an address reports SERVING; a server that does not answer is not serving."""
    with grpc.insecure_channel(address) as channel:
        # An empty request asks for the whole server. In bytes, for the generated classes take longer to load than the call to make.
        check = channel.unary_unary(_METHOD, request_serializer=None, response_deserializer=None)
        try:
            return bool(check(b"", timeout=_TIMEOUT_S) == _SERVING)
        except grpc.RpcError:
            return False


if __name__ == "__main__":
    sys.exit(0 if is_serving(f"localhost:{(sys.argv[1:] or [_PORT])[0]}") else 1)
