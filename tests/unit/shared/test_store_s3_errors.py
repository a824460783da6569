"""What S3 servers say that no server here can be made to say: each becomes the error whose treatment fits, with what to do."""

import pytest

from shared.errors import BadConfiguration, NotFound, OutOfSpace, Rejected, Retryable, SpiralError
from shared.store_s3_errors import error_of_answer

WHERE = "bucket 'b' at host"


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "RequestTimeTooSkewed", BadConfiguration, "set this machine's clock"),
        (403, "InvalidAccessKeyId", BadConfiguration, "check key, secret, what they may do, region and clock"),
        (403, "AccessDenied", BadConfiguration, "what they may do"),
        (400, "AuthorizationHeaderMalformed", BadConfiguration, "region"),
        (404, "NoSuchBucket", BadConfiguration, "SPIRAL_STORE_URL"),
        (404, "NoSuchKey", NotFound, "no object 'k'"),
        (507, "XMinioStorageFull", OutOfSpace, "free some space"),
        (403, "QuotaExceeded", OutOfSpace, "free some space"),
        (503, "SlowDown", Retryable, "can't answer at the moment"),
        (400, "InvalidArgument", Rejected, "refuses 'k'"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, code: str, kind: type[SpiralError], words: str) -> None:
    error = error_of_answer(status, f"<Error><Code>{code}</Code><Message>said so</Message></Error>", WHERE, "k")
    assert type(error) is kind or (kind is Retryable and isinstance(error, Retryable))
    assert words in str(error)
    assert WHERE in str(error)
