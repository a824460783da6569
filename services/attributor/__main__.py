"""`python -m services.attributor`"""

from services.attributor.service import build
from services.attributor.settings import AttributorSettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.ATTRIBUTOR, AttributorSettings, build)
