"""Why something found on the web may not be used, in words that can be counted."""

from enum import StrEnum


class RefusalReason(StrEnum):
    """Reasons, in the order in which they are looked for."""

    MALFORMED_URL = "malformed_url"
    FORBIDDEN_SCHEME = "forbidden_scheme"
    URL_CREDENTIALS = "url_credentials"
    ODD_HOST = "odd_host"
    """A host in a spelling that parsers read differently: decimal, octal, hexadecimal or short IPv4, full-width letters, escapes."""
    LOCAL_NAME = "local_name"
    FORBIDDEN_PORT = "forbidden_port"
    FORBIDDEN_ADDRESS = "forbidden_address"
    """An address that is not globally routable, or wraps such an address, or that a cloud keeps for its metadata."""
    UNKNOWN_HOST = "unknown_host"
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too_slow"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BAD_STATUS = "bad_status"
    BAD_RESPONSE = "bad_response"
    """No HTTP, fewer bytes than promised, an unknown or repeated compression."""
    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
    TOO_SMALL = "too_small"
    BLANK = "blank"
    BLURRED = "blurred"
    DOMAIN_CAP = "domain_cap"
    CLUSTER_CAP = "cluster_cap"


class Refused(Exception):
    """A source that may not be used. The same source may be fine later; another one should be taken now."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
