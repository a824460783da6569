"""What may not enter a dataset whatever its answer: the port behind which candidates are screened, and its local adapter."""

from typing import Protocol

from services.quality.personal_data import find_personal_data


class ContentScreen(Protocol):
    """Looks for what is unsafe in an image and its text."""

    async def find(self, image: bytes, text: str) -> str | None:
        """What is unsafe, in words for people; None where nothing is seen.

        Args:
            image: PNG, JPEG or WEBP that decodes.
            text: question, choices and answer, a line each.

        Raises:
            Retryable: it can't be told now.
        """


class PersonalDataScreen:
    """Finds personal data in the text, see `personal_data.py`; it does not look at the image."""

    async def find(self, image: bytes, text: str) -> str | None:
        """The kind of personal data."""
        kind = find_personal_data(text)
        return f"the text holds {kind}" if kind else None
