"""What an S3 server's refusals mean for us, and what the operator should do about each."""

import re
import ssl

from minio.error import MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from shared.errors import BadConfiguration, NotFound, OutOfSpace, Rejected, Retryable, SpiralError


class Unavailable(Retryable):
    """The store did not answer, or said that it can't at the moment."""


_BAD_CREDENTIALS = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "AuthorizationHeaderMalformed",
}
_BUSY = {
    "SlowDown",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "ConditionalRequestConflict",
    "NoSuchUpload",
}
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity"}


def error_of(error: MinioException | HTTPError, where: str) -> SpiralError:
    """Our name for what the client raised; `where` names bucket and endpoint."""
    if isinstance(error, S3Error):
        return _error_of_code(error.response.status, error.code or "", error.message or "", where, error.object_name or "")
    if isinstance(error, ServerError):
        return error_of_answer(error.status_code, str(error), where, "")
    if isinstance(error, MinioException):
        # An answer whose content type is not exactly application/xml: its status and body stand in the text.
        status = re.search(r"Response code: (\d+)", str(error))
        return error_of_answer(int(status.group(1)) if status else 500, str(error), where, "")
    cause = getattr(error, "reason", None) or error
    while isinstance(cause, HTTPError) and cause.args and isinstance(cause.args[-1], Exception):
        cause = cause.args[-1]
    if isinstance(cause, ssl.SSLCertVerificationError):
        return BadConfiguration(f"the certificate of {where} is not trusted ({cause.verify_message}): set SSL_CERT_FILE to its authority's")
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return BadConfiguration(f"{where} does not speak TLS: write SPIRAL_STORE_URL with s3:// instead of s3+https://")
    return Unavailable(f"no answer from {where} ({type(cause).__name__}): is it running and reachable, and is SPIRAL_STORE_URL right?")


def error_of_answer(status: int, body: str, where: str, key: str) -> SpiralError:
    """Our name for an HTTP answer that is no success."""
    code, message, resource = (_tag(tag, body) for tag in ("Code", "Message", "Resource"))
    return _error_of_code(status, code, message, where, key or resource)


def _tag(tag: str, body: str) -> str:
    found = re.search(f"<{tag}>([^<]*)</{tag}>", body)
    return found.group(1) if found else ""


def _error_of_code(status: int, code: str, message: str, where: str, key: str) -> SpiralError:
    said = f"{code or status}{f' ({message})' if message else ''}"
    if code == "NoSuchBucket":
        return BadConfiguration(f"there is no {where}: create it or correct SPIRAL_STORE_URL")
    if code == "NoSuchKey" or (status == 404 and not code):
        return NotFound(f"there is no object {key!r} in {where}")
    if code == "RequestTimeTooSkewed":
        return BadConfiguration(f"{where} says {said}: set this machine's clock")
    if code in _FULL or status == 507:
        return OutOfSpace(f"{where} is full, it says {said}: free some space; the work is taken up again by itself")
    if code in _BUSY or status in (408, 409, 429) or status >= 500:
        return Unavailable(f"{where} can't answer at the moment, it says {said}")
    if code in _BAD_CREDENTIALS or status in (401, 403):
        return BadConfiguration(f"{where} refuses us, it says {said}: check key, secret, what they may do, region and clock")
    return Rejected(f"{where} refuses {key!r}, it says {said}")
