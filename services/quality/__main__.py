"""`python -m services.quality`"""

from services.quality.service import build
from services.quality.settings import QualitySettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.QUALITY, QualitySettings, build)
