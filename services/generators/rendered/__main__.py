"""`python -m services.generators.rendered`"""

from services.generators.rendered.service import build
from services.generators.rendered.settings import RenderedSettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.GENERATORS, RenderedSettings, build)
