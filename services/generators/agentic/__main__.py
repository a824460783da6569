"""`python -m services.generators.agentic`"""

from services.generators.agentic.service import build
from services.generators.agentic.settings import AgenticSettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.GENERATORS, AgenticSettings, build)
